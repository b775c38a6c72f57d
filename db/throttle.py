"""The throttle table: counts of failed attempts, and until when further attempts are rejected.

Times are those of Postgres: the clocks of the hosts that count may differ. The column ``place``
contains the digest of the usual network of an account, and ``place_next_at`` the wait there;
both names date from earlier versions, and a rename would break servers that run during an upgrade.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from db.batch_loader import LookupQuery
from db.pool import Connection
from db.rows import CountRow, Row, ThrottleDecision

# Counts by subject, for BatchLoader. The number of seconds until 'infinity', which an interval
# cannot represent before Postgres 17, is infinite as well.
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


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of a count, and its limits.

    After ``free_failures`` each attempt has to wait. A count whose last failure is more than
    ``forget_seconds`` ago starts again. ``max_failures`` is the limit of consecutive failures of an
    account: at four fifths of it, attempts from other networks are rejected indefinitely, and at
    the limit all are.
    """

    name: str
    free_failures: int
    forget_seconds: float | None = None
    max_failures: int | None = None


def limits_of(subjects: Sequence[Subject]) -> dict[str, object]:
    """Return the parameters of a statement that name subjects and their limits."""
    return {
        "subjects": [subject.name for subject in subjects],
        "free_failures": [subject.free_failures for subject in subjects],
        "forget_seconds": [subject.forget_seconds for subject in subjects],
    }


# Counts are not flushed to disk: a crash of Postgres may lose the last of them. Both statements are
# one message, and therefore one transaction, whose end resets the setting. Within the second one,
# Postgres would reject set_config() for distributed schemas.
_ENSURE = """
SET LOCAL synchronous_commit = off;
INSERT INTO throttle (subject, failures, last_at)
SELECT subject, 0, clock_timestamp()
FROM unnest(%(subjects)s::text[]) AS subject
ORDER BY subject
ON CONFLICT (subject) DO NOTHING
"""


async def ensure_counts(connection: Connection, subjects: Sequence[Subject]) -> None:
    """Insert counts of 0 if rows are missing."""
    await connection.execute(_ENSURE, {"subjects": [subject.name for subject in subjects]})


# The failures of a locked count including the one at ``now``, and the resulting wait in seconds.
# The sum or difference of a time with zone and an interval depends on the zone of the session, and
# Postgres for distributed schemas rejects it in such places.
NEXT_FAILURES = """
        CASE
            WHEN {now} - held.last_at > make_interval(secs => asked.forget_seconds) THEN 1
            ELSE held.failures + 1
        END
"""
WAIT_SECONDS = """
            least(
                %(longest_delay_seconds)s::double precision,
                %(first_delay_seconds)s::double precision * power(
                    2::double precision,
                    least(due.failures - due.free_failures, 40)::double precision
                )
            )
"""

# All sessions lock the rows in the same order; the clock is read once, after all are locked. Either
# all subjects are counted, or none.
_RECORD_FAILURE = """
SET LOCAL synchronous_commit = off;
WITH asked AS (
    SELECT *
    FROM unnest(
        %(subjects)s::text[], %(free_failures)s::integer[],
        %(forget_seconds)s::double precision[], %(max_failures)s::integer[]
    ) AS asked (subject, free_failures, forget_seconds, max_failures)
), held AS MATERIALIZED (
    SELECT subject, failures, last_at, next_at, place, place_next_at
    FROM throttle
    WHERE subject = ANY (%(subjects)s::text[])
    ORDER BY subject
    FOR UPDATE
), rejected AS MATERIALIZED (
    SELECT
        max(CASE WHEN place = %(network)s THEN place_next_at ELSE next_at END) AS until,
        count(*) AS held,
        clock_timestamp() AS now
    FROM held
), due AS MATERIALIZED (
    SELECT
        asked.subject, asked.free_failures, asked.max_failures, rejected.now,
        {failures} AS failures
    FROM asked
    JOIN held ON held.subject = asked.subject
    CROSS JOIN rejected
    WHERE
        rejected.held = cardinality(%(subjects)s::text[])
        AND (rejected.until IS NULL OR rejected.until <= rejected.now)
), counted AS (
    UPDATE throttle t
    SET
        failures = due.failures,
        before_at = t.last_at,
        last_at = due.now,
        next_at = CASE
            WHEN due.failures >= due.max_failures - due.max_failures / 5
            THEN 'infinity'::timestamptz
            WHEN due.failures >= due.free_failures
            THEN (due.now AT TIME ZONE 'UTC' + make_interval(secs => {wait_seconds}))
                AT TIME ZONE 'UTC'
        END,
        place_next_at = CASE
            WHEN due.failures >= due.max_failures THEN 'infinity'::timestamptz
        END
    FROM due
    WHERE t.subject = due.subject
    RETURNING t.next_at IS NOT NULL AS waits
)
SELECT
    rejected.held = cardinality(%(subjects)s::text[]),
    extract(epoch FROM rejected.until)::double precision
        - extract(epoch FROM rejected.now)::double precision,
    (SELECT count(*) FROM counted) > 0,
    (SELECT coalesce(bool_or(waits), false) FROM counted),
    rejected.now
FROM rejected
"""
RECORD_FAILURE = _RECORD_FAILURE.format(
    failures=NEXT_FAILURES.format(now="rejected.now"), wait_seconds=WAIT_SECONDS
)


async def record_failure(
    connection: Connection,
    subjects: Sequence[Subject],
    *,
    network: str,
    first_delay_seconds: float,
    longest_delay_seconds: float,
) -> ThrottleDecision | None:
    """Count one more failure of each subject, unless one of them rejects the attempt now.

    The wait doubles with each failure. If ``network`` is the usual network of the account, only the
    wait there applies to the account. Returns None if a row is missing.
    """
    parameters = {
        **limits_of(subjects),
        "max_failures": [subject.max_failures for subject in subjects],
        "network": network,
        "first_delay_seconds": first_delay_seconds,
        "longest_delay_seconds": longest_delay_seconds,
    }
    return _decision(await connection.fetch_one(RECORD_FAILURE, parameters))


def _decision(row: Row | None) -> ThrottleDecision | None:
    if row is None or not row[0]:
        return None
    return ThrottleDecision(
        is_allowed=row[2], wait_seconds=row[1], is_newly_blocked=row[3], at=row[4]
    )


_RECORD_SUCCESS = """
SET LOCAL synchronous_commit = off;
WITH held AS MATERIALIZED (
    SELECT subject
    FROM throttle
    WHERE subject = ANY (%(subjects)s::text[])
    ORDER BY subject
    FOR UPDATE
), locked AS MATERIALIZED (
    SELECT count(*) AS held, clock_timestamp() AS now FROM held
)
UPDATE throttle t
SET
    failures = CASE WHEN t.subject = %(decremented)s THEN greatest(t.failures - 1, 0) ELSE 0 END,
    -- Unless there was a later attempt, the state before this one is restored.
    next_at = CASE
        WHEN t.subject = %(decremented)s AND t.last_at <> %(attempted_at)s::timestamptz
            THEN t.next_at
    END,
    last_at = CASE
        WHEN t.subject <> %(decremented)s THEN locked.now
        WHEN t.last_at = %(attempted_at)s::timestamptz THEN coalesce(t.before_at, t.last_at)
        ELSE t.last_at
    END,
    place = CASE WHEN t.subject = %(account)s THEN %(network)s END,
    place_next_at = NULL
FROM held
CROSS JOIN locked
WHERE t.subject = held.subject
"""


async def record_success(
    connection: Connection,
    subjects: Sequence[Subject],
    *,
    decremented: str,
    account: str,
    network: str,
    attempted_at: datetime,
) -> None:
    """Reset counts after an attempt that succeeded, and decrement the count ``decremented``.

    The network becomes the usual network of the account.
    """
    parameters = {
        "subjects": [subject.name for subject in subjects],
        "decremented": decremented,
        "account": account,
        "network": network,
        "attempted_at": attempted_at,
    }
    await connection.execute(_RECORD_SUCCESS, parameters)
