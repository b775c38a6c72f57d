"""Expired rows of the tokens table, and whose turn it is to remove them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from db.pool import Connection

# Any number will do, as long as nothing else in the database locks it: "tidy" in ASCII.
_LOCK = 0x74696479
_TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"
_UNLOCK = "SELECT pg_advisory_unlock(%s)"


@asynccontextmanager
async def turn(connection: Connection) -> AsyncIterator[bool]:
    """Tell whether it is our turn to remove rows, which it is for one connection at a time."""
    row = await connection.fetch_one(_TRY_LOCK, (_LOCK,))
    is_ours = row is not None and bool(row[0])
    try:
        yield is_ours
    except BaseException:
        # Its end is the end of the lock.
        await connection.close()
        raise
    if is_ours:
        await connection.fetch_one(_UNLOCK, (_LOCK,))


_DELETE_EXPIRED = """
WITH gone AS (
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
SELECT count(*), max(expires_at) FROM gone
"""


async def delete_expired(
    connection: Connection, *, since: datetime, before: datetime, most: int
) -> tuple[int, datetime]:
    """Remove tokens that expired in a time, the oldest first; return how many, and when the last.

    Whoever goes on from there need not pass again by what has just been removed.
    """
    row = await connection.fetch_one(_DELETE_EXPIRED, (since, before, most))
    if row is None or row[1] is None:
        return 0, before
    return int(row[0]), row[1]
