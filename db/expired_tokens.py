"""Expired rows of the tokens table, and the lock of the process that deletes them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from db.pool import Connection

# An arbitrary number that nothing else in the database locks: "tidy" in ASCII.
_LOCK = 0x74696479
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(%s)"


@asynccontextmanager
async def housekeeping_turn(connection: Connection) -> AsyncIterator[bool]:
    """Run the block as a transaction with the lock; yield False if another process holds it.

    The lock ends with the transaction. A lock of a session could remain in a session that a pooler
    gives to others, and then no process would ever delete anything.
    """
    async with connection.transaction():
        row = await connection.fetch_one(_TRY_LOCK, (_LOCK,))
        yield row is not None and bool(row[0])


_DELETE_EXPIRED = """
WITH deleted AS (
    DELETE FROM tokens
    WHERE id IN (
        SELECT id
        FROM tokens
        WHERE expires_at >= %s AND expires_at < %s
        ORDER BY expires_at
        LIMIT %s
        FOR UPDATE SKIP LOCKED
    )
    RETURNING expires_at
)
SELECT count(*), max(expires_at) FROM deleted
"""


async def delete_expired(
    connection: Connection, *, since: datetime, before: datetime, limit: int
) -> tuple[int, datetime]:
    """Delete tokens that expired in a period, oldest first.

    Return their number, and the last expiry, from which the next batch starts: Postgres need not
    skip the index entries of this one.
    """
    row = await connection.fetch_one(_DELETE_EXPIRED, (since, before, limit))
    if row is None or row[1] is None:
        return 0, before
    return int(row[0]), row[1]
