"""The messages table as a queue: messages are claimed by a lease, sent, and marked.

A process claims messages in a statement of its own, and sends them without a transaction. If it
stops in between, the lease ends, and the message is sent again: at least once.
"""

from datetime import datetime

from db.pool import Connection
from db.rows import ClaimedMessage

_CLAIM = """
WITH due AS (
    SELECT id
    FROM messages
    WHERE due_at <= %(now)s
    ORDER BY is_urgent DESC, due_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE messages m
SET due_at = %(lease_until)s, attempts = attempts + 1, failure = NULL
FROM due
WHERE m.id = due.id
RETURNING
    m.id, m.kind, m.recipient, m.language, m.key_id, m.created_at, m.expires_at, m.due_at,
    m.attempts,
    m.voided_at IS NULL AND m.used_at IS NULL AND m.expires_at > %(now)s AND (
        m.user_id IS NULL OR EXISTS (
            SELECT FROM users u
            WHERE
                u.id = m.user_id
                AND u.disabled_at IS NULL
                AND (m.password_version IS NULL OR m.password_version = u.password_version)
        )
    )
"""


async def claim(
    connection: Connection, *, now: datetime, lease_until: datetime, limit: int
) -> list[ClaimedMessage]:
    """Claim messages that are due, until the end of a lease; each process gets others."""
    parameters = {"now": now, "lease_until": lease_until, "limit": limit}
    return [ClaimedMessage(*row) for row in await connection.fetch_all(_CLAIM, parameters)]


# A lease that ended may be that of another process by now. The address of a deleted user is not
# needed any more.
_MARK_SENT = """
UPDATE messages
SET
    due_at = NULL,
    sent_at = %s,
    failure = NULL,
    recipient = CASE WHEN kind <> 'user-deleted' THEN recipient END
WHERE id = %s AND due_at = %s
"""


async def mark_sent(connection: Connection, message: ClaimedMessage, *, at: datetime) -> None:
    """Record that a claimed message was sent."""
    await connection.execute(_MARK_SENT, (at, message.id, message.due_at))


_DEFER = """
UPDATE messages
SET due_at = %s, failure = %s, attempts = attempts - %s
WHERE id = %s AND due_at = %s
"""


async def defer(
    connection: Connection,
    message: ClaimedMessage,
    *,
    until: datetime,
    failure: str,
    is_counted: bool,
) -> None:
    """Send a claimed message later; ``is_counted`` unless the attempt was the relay's fault."""
    parameters = (until, failure, 0 if is_counted else 1, message.id, message.due_at)
    await connection.execute(_DEFER, parameters)


_GIVE_UP = """
UPDATE messages
SET due_at = NULL, failed_at = %s, failure = %s
WHERE id = %s AND due_at = %s
"""


async def give_up(
    connection: Connection, message: ClaimedMessage, *, at: datetime, failure: str
) -> None:
    """Record that a claimed message is not sent, and why."""
    await connection.execute(_GIVE_UP, (at, failure, message.id, message.due_at))
