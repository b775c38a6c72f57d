"""The messages table as counts: how many messages a network and a user have requested."""

from datetime import datetime

from db.pool import Connection

_LOCK = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"
_LOCK_CLASS = 0x6D61696C


async def lock_count(connection: Connection, counted: str) -> None:
    """Make concurrent requests wait until the transaction ends, so that they exceed no limit."""
    await connection.execute(_LOCK, (_LOCK_CLASS, counted))


# A limit of n is reached while the n-th newest request is less than an hour old.
_FIND_WAIT = """
SELECT extract(epoch FROM greatest(
    (
        SELECT created_at
        FROM messages
        WHERE network_digest = %(network)s
        ORDER BY created_at DESC
        OFFSET %(network_limit)s - 1
        LIMIT 1
    ), (
        SELECT created_at
        FROM messages
        WHERE requester_id = %(user)s::uuid
        ORDER BY created_at DESC
        OFFSET %(user_limit)s - 1
        LIMIT 1
    )
) + interval '1 hour' - %(now)s)::double precision
"""


async def find_wait(
    connection: Connection,
    *,
    network_digest: str,
    requester_id: str | None,
    network_limit: int,
    user_limit: int,
    now: datetime,
) -> float:
    """Return how many seconds the hourly limits make the next request wait, at least 0.

    Further requests from the network, and of the user, wait until the transaction ends.
    """
    await lock_count(connection, network_digest)
    if requester_id is not None:
        await lock_count(connection, requester_id)
    parameters = {
        "network": network_digest,
        "user": requester_id,
        "network_limit": network_limit,
        "user_limit": user_limit,
        "now": now,
    }
    row = await connection.fetch_one(_FIND_WAIT, parameters)
    return max(0.0, row[0] or 0.0) if row else 0.0
