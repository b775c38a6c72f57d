"""Expired rows of the tokens table, and the lock of the process that deletes them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from db.pool import Connection

# An arbitrary number that nothing else in the database locks: "tidy" in ASCII.
_LOCK = 0x74696479
_TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"
_UNLOCK = "SELECT pg_advisory_unlock(%s)"


@asynccontextmanager
async def housekeeping_lock(connection: Connection) -> AsyncIterator[bool]:
    """Hold the lock during the block; yield False if another connection holds it."""
    row = await connection.fetch_one(_TRY_LOCK, (_LOCK,))
    is_held = row is not None and bool(row[0])
    try:
        yield is_held
    except BaseException:
        # Closing the connection releases the lock.
        await connection.close()
        raise
    if is_held:
        await connection.fetch_one(_UNLOCK, (_LOCK,))


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
