"""The reserved_emails table: digests of e-mail addresses that nobody can register until a time."""

from collections.abc import Sequence

from db.pool import Connection

_RESERVE = """
INSERT INTO reserved_emails (email_digest, until)
VALUES (%s, clock_timestamp() + make_interval(days => %s))
ON CONFLICT (email_digest) DO UPDATE
SET until = greatest(reserved_emails.until, excluded.until)
"""


async def reserve(connection: Connection, digest: str, *, days: int) -> None:
    """Reserve an e-mail address for some days from now, or for as long as it already is."""
    await connection.execute(_RESERVE, (digest, days))


_IS_RESERVED = """
SELECT EXISTS (
    SELECT FROM reserved_emails WHERE email_digest = %s AND until > clock_timestamp()
)
"""


async def is_reserved(connection: Connection, digest: str) -> bool:
    """Tell whether an e-mail address is reserved."""
    row = await connection.fetch_one(_IS_RESERVED, (digest,))
    return row is not None and bool(row[0])


_END = "DELETE FROM reserved_emails WHERE email_digest = ANY (%s::text[])"


async def end(connection: Connection, digests: Sequence[str]) -> None:
    """End reservations."""
    await connection.execute(_END, (list(digests),))


_DELETE_PAST = """
DELETE FROM reserved_emails
WHERE email_digest IN (
    SELECT email_digest
    FROM reserved_emails
    WHERE until <= clock_timestamp()
    ORDER BY until
    LIMIT %s
    FOR UPDATE SKIP LOCKED
)
"""


async def delete_past(connection: Connection, *, most: int) -> int:
    """Remove reservations that are over; return how many."""
    return await connection.execute(_DELETE_PAST, (most,))
