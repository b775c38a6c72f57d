"""Counts of the throttle table outside attempts: usual networks, resets and deletions.

See db/throttle.py for the columns.
"""

from collections.abc import Sequence
from datetime import datetime

from db.pool import Connection
from db.rows import CountStateRow
from db.throttle import NEXT_FAILURES, WAIT_SECONDS, Subject, limits_of

# The names of accounts begin with "account:" (services/throttle.py). The prefix is a literal, as in
# the indexes: Postgres does not use them for a parameter. By ctid, no plan scans the table.
_DELETE_OLD = """
WITH gone AS (
    DELETE FROM throttle
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM throttle
        WHERE
            subject {} 'account:%%'
            AND last_hour >= %(since)s::timestamp
            AND last_hour < date_trunc(
                'hour',
                statement_timestamp() AT TIME ZONE 'UTC' - make_interval(secs => %(kept_seconds)s)
            )
        ORDER BY last_hour
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING last_hour
)
SELECT count(*), max(last_hour) FROM gone
"""
DELETE_OLD, DELETE_OLD_ACCOUNTS = _DELETE_OLD.format("NOT LIKE"), _DELETE_OLD.format("LIKE")


async def delete_old(
    connection: Connection, *, accounts: bool, since: datetime, kept_seconds: float, limit: int
) -> tuple[int, datetime]:
    """Delete expired counts, oldest first; return how many, and the hour of the last.

    Deletes the counts of ``accounts``, or all others. If the next call starts with ``since`` at
    that hour, it skips the index entries of the deleted rows.
    """
    sql = DELETE_OLD_ACCOUNTS if accounts else DELETE_OLD
    parameters = {"since": since, "kept_seconds": kept_seconds, "limit": limit}
    row = await connection.fetch_one(sql, parameters)
    if row is None or row[1] is None:
        return 0, since
    return int(row[0]), row[1]


_SET_USUAL_NETWORK = """
INSERT INTO throttle (subject, failures, last_at, place)
VALUES (%(subject)s, 0, clock_timestamp(), %(network)s)
ON CONFLICT (subject) DO UPDATE
SET
    failures = 0, last_at = excluded.last_at, next_at = NULL,
    place = excluded.place, place_next_at = NULL
"""


async def set_usual_network(connection: Connection, subject: str, network: str) -> None:
    """Reset the count of an account, and set its usual network."""
    parameters = {"subject": subject, "network": network}
    await connection.execute(_SET_USUAL_NETWORK, parameters)


# All sessions lock the rows in the same order, as in db/throttle.py.
_RESET = """
WITH held AS MATERIALIZED (
    SELECT subject
    FROM throttle
    WHERE subject = ANY (%(subjects)s::text[])
        AND (failures > 0 OR next_at IS NOT NULL OR place_next_at IS NOT NULL)
    ORDER BY subject
    FOR UPDATE
)
UPDATE throttle t
SET failures = 0, next_at = NULL, place_next_at = NULL
FROM held
WHERE t.subject = held.subject
"""


async def reset_counts(connection: Connection, subjects: Sequence[str]) -> int:
    """Reset counts, and keep the usual networks; return how many were not 0."""
    return await connection.execute(_RESET, {"subjects": list(subjects)})


_DELETE = "DELETE FROM throttle WHERE subject = %(subject)s"


async def delete_count(connection: Connection, subject: str) -> None:
    """Delete a count."""
    await connection.execute(_DELETE, {"subject": subject})


_COLUMNS = """
SELECT
    subject, failures, last_at, next_at = 'infinity', CASE WHEN isfinite(next_at) THEN next_at END,
    coalesce(next_at > clock_timestamp(), false), place, place_next_at IS NOT NULL
FROM throttle
"""
_FIND = f"{_COLUMNS} WHERE subject = ANY (%s::text[])"
# Reads the whole table: an index on a column that each attempt changes would slow all attempts.
_FIND_WAITING = f"""
{_COLUMNS}
WHERE next_at > clock_timestamp()
ORDER BY failures DESC, subject
LIMIT %s
"""
# Counts of accounts, of which there may be as many as users, are left out. The hour allows the use
# of an index: see above.
FIND_WAITING_NETWORKS = f"""
{_COLUMNS}
WHERE
    subject NOT LIKE 'account:%%'
    AND last_hour >= date_trunc(
        'hour',
        statement_timestamp() AT TIME ZONE 'UTC' - make_interval(secs => %(kept_seconds)s)
    )
    AND next_at > clock_timestamp()
    AND split_part(subject, ':', 1) || ':' = ANY (%(prefixes)s::text[])
    AND subject <> ALL (%(without)s::text[])
ORDER BY split_part(subject, ':', 1), failures DESC, subject
LIMIT %(limit)s
"""


async def find_counts(connection: Connection, subjects: Sequence[str]) -> list[CountStateRow]:
    """Return the counts of subjects; those without a row are left out."""
    rows = await connection.fetch_all(_FIND, (list(subjects),))
    return [CountStateRow(*row) for row in rows]


async def find_waiting(connection: Connection, *, limit: int) -> list[CountStateRow]:
    """Return the counts for which attempts have to wait now, those with the most failures first."""
    return [CountStateRow(*row) for row in await connection.fetch_all(_FIND_WAITING, (limit,))]


async def find_waiting_networks(
    connection: Connection,
    *,
    prefixes: Sequence[str],
    without: Sequence[str],
    kept_seconds: float,
    limit: int,
) -> list[CountStateRow]:
    """Return counts for which attempts have to wait now, and whose names have some prefixes.

    In the order of the prefixes, then those with the most failures first. No wait is longer than
    ``kept_seconds``, except those of accounts, which are left out.
    """
    parameters = {
        "prefixes": list(prefixes),
        "without": list(without),
        "kept_seconds": kept_seconds,
        "limit": limit,
    }
    rows = await connection.fetch_all(FIND_WAITING_NETWORKS, parameters)
    return [CountStateRow(*row) for row in rows]


_FIND_NEXT_WAITS = """
WITH asked AS (
    SELECT *
    FROM unnest(
        %(subjects)s::text[], %(free_failures)s::integer[], %(forget_seconds)s::double precision[]
    ) AS asked (subject, free_failures, forget_seconds)
), due AS (
    SELECT
        asked.subject, asked.free_failures,
        {failures} AS failures
    FROM asked
    JOIN throttle AS held ON held.subject = asked.subject
)
SELECT subject, {wait_seconds}
FROM due
WHERE failures >= free_failures
"""
FIND_NEXT_WAITS = _FIND_NEXT_WAITS.format(
    failures=NEXT_FAILURES.format(now="statement_timestamp()"), wait_seconds=WAIT_SECONDS
)


async def find_next_waits(
    connection: Connection,
    subjects: Sequence[Subject],
    *,
    first_delay_seconds: float,
    longest_delay_seconds: float,
) -> dict[str, float]:
    """Return how many seconds attempts have to wait after the next failure, by subject.

    Subjects without such a wait are left out; limits of consecutive failures are ignored.
    """
    parameters = {
        **limits_of(subjects),
        "first_delay_seconds": first_delay_seconds,
        "longest_delay_seconds": longest_delay_seconds,
    }
    rows = await connection.fetch_all(FIND_NEXT_WAITS, parameters)
    return dict(rows)


# An attempt may insert the new name at any time.
_MOVE = """
WITH moved AS (
    DELETE FROM throttle
    WHERE subject = %(old)s
    RETURNING failures, last_at, before_at, next_at, place, place_next_at
)
INSERT INTO throttle (subject, failures, last_at, before_at, next_at, place, place_next_at)
SELECT %(new)s, moved.*
FROM moved
ON CONFLICT (subject) DO UPDATE
SET
    failures = excluded.failures,
    last_at = excluded.last_at,
    before_at = excluded.before_at,
    next_at = excluded.next_at,
    place = excluded.place,
    place_next_at = excluded.place_next_at
"""


async def move_count(connection: Connection, old: str, new: str) -> None:
    """Rename a count, and replace the count that has the new name."""
    await connection.execute(_MOVE, {"old": old, "new": new})
