"""The throttle table: counts of tries, and until when there may be no more.

Times are Postgres's own: the clocks of the hosts that count may differ.
"""

from collections.abc import Sequence
from datetime import datetime

from db.batch_loader import LookupQuery
from db.pool import Connection
from db.rows import CountRow, Row, ThrottleDecision

# Counts by what is counted, for BatchLoader. Of 'infinity', which an interval cannot hold before
# Postgres 17, a number of seconds is infinite as well.
FIND_COUNTS = LookupQuery(
    name="find_counts",
    sql="""
SELECT
    subject,
    extract(epoch FROM next_at)::double precision
        - extract(epoch FROM clock_timestamp())::double precision,
    place,
    extract(epoch FROM place_next_at)::double precision
        - extract(epoch FROM clock_timestamp())::double precision
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
SELECT subject, 0, clock_timestamp()
FROM relaxed, unnest(%s::text[]) AS subject
ORDER BY subject
ON CONFLICT (subject) DO NOTHING
"""


async def ensure_counts(connection: Connection, subjects: Sequence[str]) -> None:
    """Make counts of none where there is no row."""
    await connection.execute(_ENSURE, (list(subjects),))


# The rows are locked in one order, whoever comes; then they are as they will be until they are
# written. Only then the clock is read, once. Either all of them are counted, or none.
_CHARGE = """
WITH relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
asked AS (
    SELECT *
    FROM unnest(%s::text[], %s::integer[], %s::double precision[], %s::integer[])
        AS asked (subject, free, forget_seconds, most)
), held AS MATERIALIZED (
    SELECT subject, failures, last_at, next_at, place, place_next_at
    FROM throttle
    WHERE subject = ANY (%s::text[])
    ORDER BY subject
    FOR UPDATE
), refused AS MATERIALIZED (
    SELECT
        max(CASE WHEN place = %s THEN place_next_at ELSE next_at END) AS until,
        count(*) AS held,
        clock_timestamp() AS now
    FROM held
), due AS MATERIALIZED (
    SELECT
        asked.subject, asked.free, asked.most, refused.now,
        CASE
            WHEN held.last_at < refused.now - make_interval(secs => asked.forget_seconds) THEN 1
            ELSE held.failures + 1
        END AS failures
    FROM asked
    JOIN held ON held.subject = asked.subject
    CROSS JOIN refused
    CROSS JOIN relaxed
    WHERE refused.held = %s AND (refused.until IS NULL OR refused.until <= refused.now)
), counted AS (
    UPDATE throttle t
    SET
        failures = due.failures,
        before_at = t.last_at,
        last_at = due.now,
        next_at = CASE
            WHEN due.failures >= due.most - due.most / 5 THEN 'infinity'::timestamptz
            WHEN due.failures >= due.free
            THEN due.now + make_interval(secs => least(
                %s::double precision,
                %s::double precision * power(
                    2::double precision, least(due.failures - due.free, 40)::double precision
                )
            ))
        END,
        place_next_at = CASE WHEN due.failures >= due.most THEN 'infinity'::timestamptz END
    FROM due
    WHERE t.subject = due.subject
    RETURNING t.next_at IS NOT NULL AS waits
)
SELECT
    refused.held = %s,
    extract(epoch FROM refused.until)::double precision
        - extract(epoch FROM refused.now)::double precision,
    (SELECT count(*) FROM counted) > 0,
    (SELECT coalesce(bool_or(waits), false) FROM counted),
    refused.now
FROM refused
"""


async def charge(
    connection: Connection,
    subjects: Sequence[str],
    *,
    free: Sequence[int],
    forget_seconds: Sequence[float | None],
    most: Sequence[int | None],
    place: str,
    first_delay_seconds: float,
    longest_delay_seconds: float,
) -> ThrottleDecision | None:
    """Count one more try of each subject, unless one of them may not be tried at that time.

    From ``free`` tries on the next one has to wait, twice as long each time; what was last
    tried longer than ``forget_seconds`` ago begins anew. At ``most`` tries less a fifth there is no
    end to the waiting, but at the ``place`` of the last success, and at ``most`` there neither.
    Returns None where a row was missing.
    """
    names = list(subjects)
    row = await connection.fetch_one(
        _CHARGE,
        (
            *(names, list(free), list(forget_seconds), list(most)),
            *(names, place),
            *(len(names), longest_delay_seconds, first_delay_seconds),
            len(names),
        ),
    )
    return _verdict(row)


def _verdict(row: Row | None) -> ThrottleDecision | None:
    if row is None or not row[0]:
        return None
    return ThrottleDecision(
        is_allowed=row[2], wait_seconds=row[1], is_newly_blocked=row[3], at=row[4]
    )


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
    next_at = CASE WHEN t.subject = %s AND t.last_at <> %s::timestamptz THEN t.next_at END,
    last_at = CASE
        WHEN t.subject <> %s THEN clock_timestamp()
        WHEN t.last_at = %s::timestamptz THEN coalesce(t.before_at, t.last_at)
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
) -> None:
    """Set counts back after a success, at a place; that of the address goes back by one."""
    await connection.execute(
        _CLEAR,
        (
            *(list(subjects), address, address, charged_at),
            *(address, charged_at, account, place),
        ),
    )


# The names of accounts begin with "account:" (services/throttle.py). It is written out as in the
# indexes: Postgres does not use them for a parameter. By ctid, no plan reads the table.
_DELETE_OLD = """
WITH gone AS (
    DELETE FROM throttle
    WHERE ctid = ANY (ARRAY(
        SELECT ctid
        FROM throttle
        WHERE
            subject {} 'account:%%'
            AND last_hour >= %s::timestamp
            AND last_hour < date_trunc(
                'hour', statement_timestamp() AT TIME ZONE 'UTC' - make_interval(secs => %s)
            )
        ORDER BY last_hour
        LIMIT %s
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING last_hour
)
SELECT count(*), max(last_hour) FROM gone
"""
DELETE_OLD, DELETE_OLD_ACCOUNTS = _DELETE_OLD.format("NOT LIKE"), _DELETE_OLD.format("LIKE")


async def delete_old(
    connection: Connection, *, accounts: bool, since: datetime, kept_seconds: float, most: int
) -> tuple[int, datetime]:
    """Remove counts that are over, the oldest first; return how many, and of which hour the last.

    Those of ``accounts``, or all others. Whoever goes on from that hour need not pass again by
    what has just been removed.
    """
    sql = DELETE_OLD_ACCOUNTS if accounts else DELETE_OLD
    row = await connection.fetch_one(sql, (since, kept_seconds, most))
    if row is None or row[1] is None:
        return 0, since
    return int(row[0]), row[1]


_SET_PLACE = """
INSERT INTO throttle (subject, failures, last_at, place)
VALUES (%s, 0, clock_timestamp(), %s)
ON CONFLICT (subject) DO UPDATE
SET
    failures = 0, last_at = excluded.last_at, next_at = NULL,
    place = excluded.place, place_next_at = NULL
"""


async def set_place(connection: Connection, subject: str, *, place: str) -> None:
    """Set a count back, and its place to where there was a success."""
    await connection.execute(_SET_PLACE, (subject, place))


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
