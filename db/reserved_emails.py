"""The reserved_emails table: digests of email addresses that cannot be registered for a time."""

from collections.abc import Sequence
from datetime import datetime

from db.pool import Connection

_RESERVE = """
INSERT INTO reserved_emails (email_digest, until)
VALUES (%s, clock_timestamp() + make_interval(days => %s))
ON CONFLICT (email_digest) DO UPDATE
SET until = greatest(reserved_emails.until, excluded.until)
"""


async def reserve(connection: Connection, digest: str, *, days: int) -> None:
    """Reserve an email address for some days; an existing reservation is not shortened."""
    await connection.execute(_RESERVE, (digest, days))


_IS_RESERVED = """
SELECT EXISTS (
    SELECT FROM reserved_emails WHERE email_digest = %s AND until > clock_timestamp()
)
"""


async def is_reserved(connection: Connection, digest: str) -> bool:
    """Return whether an email address is reserved."""
    row = await connection.fetch_one(_IS_RESERVED, (digest,))
    return row is not None and bool(row[0])


_FIND_END = """
SELECT until FROM reserved_emails WHERE email_digest = %s AND until > clock_timestamp()
"""


async def find_end(connection: Connection, digest: str) -> datetime | None:
    """Return until when an email address is reserved, or None."""
    row = await connection.fetch_one(_FIND_END, (digest,))
    return None if row is None else row[0]


_DELETE = "DELETE FROM reserved_emails WHERE email_digest = ANY (%s::text[])"


async def delete_reservations(connection: Connection, digests: Sequence[str]) -> None:
    """Delete reservations."""
    await connection.execute(_DELETE, (list(digests),))


_DELETE_EXPIRED = """
DELETE FROM reserved_emails
WHERE email_digest IN (
    SELECT email_digest
    FROM reserved_emails
    WHERE until <= statement_timestamp()
    ORDER BY until
    LIMIT %s
    FOR UPDATE SKIP LOCKED
)
"""


async def delete_expired(connection: Connection, *, limit: int) -> int:
    """Delete expired reservations; return their number."""
    return await connection.execute(_DELETE_EXPIRED, (limit,))
