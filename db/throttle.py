"""The throttle table: counts of tries, and until when there may be no more."""

from collections.abc import Sequence
from datetime import datetime

from db.joined_lookup import LookupQuery
from db.pool import Connection
from db.rows import CountRow, Row, Verdict

# Counts by what is counted, for JoinedLookup.
FIND_COUNTS = LookupQuery(
    name="find_counts",
    sql="""
SELECT
    subject, failures, extract(epoch FROM next_at)::double precision, place,
    extract(epoch FROM place_next_at)::double precision
FROM throttle
WHERE subject = ANY($1)
""",
    key_type="text",
    make=lambda row: CountRow(*row),
)

# No count waits for the disk: a crash of Postgres may forget those of the last part of a second.
_ENSURE = """
WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO throttle (subject, failures, last_at)
SELECT subject, 0, %s
FROM relaxed, unnest(%s::text[]) AS subject
ORDER BY subject
ON CONFLICT (subject) DO NOTHING
"""


async def ensure_counts(connection: Connection, subjects: Sequence[str], *, at: datetime) -> None:
    """Make counts of none where there is no row."""
    await connection.execute(_ENSURE, (at, list(subjects)))


# The rows are locked in one order, whoever comes; then they are as they will be until they are
# written. Either all of them are counted, or none.
_CHARGE = """
WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
asked AS (
    SELECT *
    FROM unnest(%s::text[], %s::integer[], %s::timestamptz[], %s::integer[])
        AS asked (subject, free, forget_before, most)
), held AS MATERIALIZED (
    SELECT subject, failures, last_at, next_at, place, place_next_at
    FROM throttle
    WHERE subject = ANY (%s::text[])
    ORDER BY subject
    FOR UPDATE
), refused AS MATERIALIZED (
    SELECT
        max(CASE WHEN place = %s THEN place_next_at ELSE next_at END) AS until,
        count(*) AS held
    FROM held
), due AS MATERIALIZED (
    SELECT
        asked.subject, asked.free, asked.most,
        CASE WHEN held.last_at < asked.forget_before THEN 1 ELSE held.failures + 1 END AS failures
    FROM asked
    JOIN held ON held.subject = asked.subject
    CROSS JOIN refused
    CROSS JOIN relaxed
    WHERE refused.held = %s AND (refused.until IS NULL OR refused.until <= %s)
), counted AS (
    UPDATE throttle t
    SET
        failures = due.failures,
        before_at = t.last_at,
        last_at = %s,
        next_at = CASE
            WHEN due.failures >= due.most - due.most / 5 THEN 'infinity'
            WHEN due.failures >= due.free
            THEN %s + make_interval(secs => least(
                %s::double precision,
                %s::double precision
                * power(2::double precision, least(due.failures - due.free, 40)::double precision)
            ))
        END,
        place_next_at = CASE WHEN due.failures >= due.most THEN 'infinity'::timestamptz END
    FROM due
    WHERE t.subject = due.subject
    RETURNING t.next_at IS NOT NULL AS waits
)
SELECT
    refused.held = %s, extract(epoch FROM refused.until)::double precision,
    (SELECT count(*) FROM counted) > 0, (SELECT coalesce(bool_or(waits), false) FROM counted)
FROM refused
"""


async def charge(
    connection: Connection,
    subjects: Sequence[str],
    *,
    free: Sequence[int],
    forget_before: Sequence[datetime | None],
    most: Sequence[int | None],
    place: str,
    first_delay_seconds: float,
    longest_delay_seconds: float,
    at: datetime,
) -> Verdict | None:
    """Count one more try of each subject, unless one of them may not be tried at that time.

    From ``free`` tries on the next one has to wait, twice as long each time; what was last
    tried before ``forget_before`` begins anew. At ``most`` tries less a fifth there is no end to
    the waiting, but at the ``place`` of the last success, and at ``most`` there neither. Returns
    None where a row was missing.
    """
    names = list(subjects)
    row = await connection.fetch_one(
        _CHARGE,
        (
            *(names, list(free), list(forget_before), list(most)),
            *(names, place),
            *(len(names), at),
            *(at, at, longest_delay_seconds, first_delay_seconds),
            len(names),
        ),
    )
    return _verdict(row)


def _verdict(row: Row | None) -> Verdict | None:
    if row is None or not row[0]:
        return None
    return Verdict(is_allowed=row[2], waits_until=row[1], begins_to_wait=row[3])


_CLEAR = """
WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
held AS MATERIALIZED (
    SELECT subject
    FROM throttle, relaxed
    WHERE subject = ANY (%s::text[])
    ORDER BY subject
    FOR UPDATE OF throttle
)
UPDATE throttle t
SET
    failures = CASE WHEN t.subject = %s THEN greatest(t.failures - 1, 0) ELSE 0 END,
    -- Where nobody tried since, it is as if this try had not been.
    next_at = CASE WHEN t.subject = %s AND t.last_at <> %s THEN t.next_at END,
    last_at = CASE
        WHEN t.subject <> %s THEN %s
        WHEN t.last_at = %s THEN coalesce(t.before_at, t.last_at)
        ELSE t.last_at
    END,
    place = CASE WHEN t.subject = %s THEN %s END,
    place_next_at = NULL
FROM held
WHERE t.subject = held.subject
"""


async def clear(
    connection: Connection,
    subjects: Sequence[str],
    *,
    address: str,
    account: str,
    place: str,
    charged_at: datetime,
    at: datetime,
) -> None:
    """Set counts back after a success, at a place; that of the address goes back by one."""
    await connection.execute(
        _CLEAR,
        (
            *(list(subjects), address, address, charged_at),
            *(address, at, charged_at, account, place),
        ),
    )


_DELETE_OLD = """
DELETE FROM throttle
WHERE subject IN (
    SELECT subject
    FROM throttle
    WHERE last_at < %s AND (last_at < %s OR subject NOT LIKE %s)
    LIMIT %s
    FOR UPDATE SKIP LOCKED
)
"""


async def delete_old(
    connection: Connection, *, before: datetime, kept: str, kept_before: datetime, most: int
) -> int:
    """Remove counts that are over; those that begin with ``kept`` later. Return how many."""
    return await connection.execute(_DELETE_OLD, (before, kept_before, f"{kept}%", most))


_SET_PLACE = """
INSERT INTO throttle (subject, failures, last_at, place)
VALUES (%s, 0, %s, %s)
ON CONFLICT (subject) DO UPDATE
SET
    failures = 0, last_at = excluded.last_at, next_at = NULL,
    place = excluded.place, place_next_at = NULL
"""


async def set_place(connection: Connection, subject: str, *, place: str, at: datetime) -> None:
    """Set a count back, and its place to where there was a success."""
    await connection.execute(_SET_PLACE, (subject, at, place))


_RESET = """
UPDATE throttle
SET failures = 0, next_at = NULL, place_next_at = NULL
WHERE subject = %s
"""


async def reset_count(connection: Connection, subject: str) -> None:
    """Set a count back; the place stays."""
    await connection.execute(_RESET, (subject,))


_DELETE = "DELETE FROM throttle WHERE subject = %s"


async def delete_count(connection: Connection, subject: str) -> None:
    """Remove a count."""
    await connection.execute(_DELETE, (subject,))


_COUNT_FAILURES = "SELECT failures FROM throttle WHERE subject = %s"


async def count_failures(connection: Connection, subject: str) -> int:
    """Return how often something failed."""
    row = await connection.fetch_one(_COUNT_FAILURES, (subject,))
    return 0 if row is None else int(row[0])
