"""Counts of the throttle table outside attempts: usual networks, resets and deletions.

See db/throttle.py for the columns.
"""

from datetime import datetime

from db.pool import Connection

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

    Those of ``accounts``, or all others. A next call that begins ``since`` that hour skips the
    index entries of the deleted rows.
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


_RESET = """
UPDATE throttle
SET failures = 0, next_at = NULL, place_next_at = NULL
WHERE subject = %(subject)s
"""


async def reset_count(connection: Connection, subject: str) -> None:
    """Reset a count, and keep the usual network."""
    await connection.execute(_RESET, {"subject": subject})


_DELETE = "DELETE FROM throttle WHERE subject = %(subject)s"


async def delete_count(connection: Connection, subject: str) -> None:
    """Delete a count."""
    await connection.execute(_DELETE, {"subject": subject})


_COUNT_FAILURES = "SELECT failures FROM throttle WHERE subject = %(subject)s"


async def count_failures(connection: Connection, subject: str) -> int:
    """Return the number of failures of a subject."""
    row = await connection.fetch_one(_COUNT_FAILURES, {"subject": subject})
    return 0 if row is None else int(row[0])
