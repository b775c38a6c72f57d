"""The messages table as a queue: messages are inserted, claimed by a lease, and sent.

A process claims messages in a statement of its own, and sends them without a transaction. If it
stops in between, the lease ends, and the message is sent again: at least once.
"""

from dataclasses import asdict
from datetime import datetime

from db.message_limits import lock_count
from db.message_rows import ClaimedMessage, NewMessage
from db.pool import Connection

# The work is the same, with a row that is due, whether or not anything is sent. Without a user, the
# planner would omit the search for one: the value is hidden from it, and is the id of the message.
_INSERT = """
WITH given AS MATERIALIZED (
    SELECT
        %(user_id)s::uuid AS user_id,
        coalesce(%(user_id)s::uuid, %(id)s::uuid) AS searched_id,
        %(recipient)s::text AS recipient
), owner AS MATERIALIZED (
    SELECT u.id, u.password_version, u.language
    FROM given
    JOIN users u ON u.id = given.searched_id
    WHERE u.disabled_at IS NULL
), recent AS MATERIALIZED (
    SELECT count(*) AS messages
    FROM messages
    WHERE
        email_digest = %(email_digest)s
        AND created_at > %(created_at)s::timestamptz - interval '1 hour'
        AND NOT is_urgent
        AND (
            sent_at IS NOT NULL
            -- Not if it is printed, or became void before an attempt.
            OR (recipient IS NOT NULL AND (due_at IS NOT NULL OR attempts > 0))
            -- A message to a deleted user, while a process sends it.
            OR (voided_at IS NOT NULL AND due_at IS NOT NULL)
        )
), allowed AS (
    SELECT
        given.recipient,
        given.recipient IS NOT NULL
        AND (%(is_urgent)s OR %(is_printed)s OR recent.messages < %(limit)s)
        AND (given.user_id IS NULL OR EXISTS (SELECT FROM owner)) AS is_sent
    FROM recent, given
)
INSERT INTO messages (
    id, nonce, kind, user_id, recipient, email_digest, network_digest, requester_id, language,
    key_id, password_version, created_at, expires_at, due_at, is_urgent
)
SELECT
    %(id)s,
    %(nonce)s,
    %(kind)s,
    CASE WHEN is_sent THEN owner.id END,
    CASE WHEN is_sent THEN allowed.recipient END,
    %(email_digest)s,
    %(network_digest)s,
    %(requester_id)s,
    coalesce(owner.language, %(language)s),
    %(key_id)s,
    CASE WHEN %(is_bound)s THEN owner.password_version END,
    %(created_at)s,
    %(expires_at)s,
    CASE WHEN NOT %(is_printed)s THEN %(created_at)s::timestamptz END,
    %(is_urgent)s
FROM allowed
LEFT JOIN owner ON true
"""


async def insert_message(
    connection: Connection, message: NewMessage, *, language: str, max_per_hour: int
) -> None:
    """Insert a message, in the transaction of the change that it is about.

    Beyond ``max_per_hour`` to one email address, it is sent only if it is urgent. A printed message
    is never sent.
    """
    await lock_count(connection, message.email_digest)
    parameters = asdict(message) | {"language": language, "limit": max_per_hour}
    await connection.execute(_INSERT, parameters)


# A message that another transaction has locked is being sent or changed: it counts as sent.
_RENEW = """
UPDATE messages
SET created_at = %(created_at)s, expires_at = %(expires_at)s
WHERE id = (
    SELECT id
    FROM messages
    WHERE
        kind = %(kind)s
        AND email_digest = %(email_digest)s
        AND user_id IS NOT DISTINCT FROM %(user_id)s::uuid
        AND recipient IS NOT NULL
        AND due_at IS NOT NULL
        AND (attempts = 0 OR failure IS NOT NULL)
        AND expires_at > %(created_at)s
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
"""


async def renew_unsent(connection: Connection, message: NewMessage) -> bool:
    """Renew an unsent message of the same kind to the same user; return False if there is none."""
    return await connection.execute(_RENEW, asdict(message)) == 1


_CLAIM = """
WITH due AS (
    SELECT id
    FROM messages
    WHERE due_at <= %(now)s AND (%(takes_urgent)s OR NOT is_urgent)
    ORDER BY is_urgent DESC, due_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE messages m
SET due_at = %(lease_until)s, attempts = attempts + 1, failure = NULL
FROM due
WHERE m.id = due.id
RETURNING
    m.id, m.nonce, m.kind, m.recipient, m.language, m.key_id, m.created_at, m.expires_at,
    m.due_at, m.attempts, m.is_urgent,
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


async def claim_next(
    connection: Connection, *, now: datetime, lease_until: datetime, takes_urgent: bool = True
) -> ClaimedMessage | None:
    """Claim the next message that is due, until the end of a lease; no two processes get the same.

    Urgent messages come first, or are left out if ``takes_urgent`` is False.
    """
    parameters = {"now": now, "lease_until": lease_until, "takes_urgent": takes_urgent}
    row = await connection.fetch_one(_CLAIM, parameters)
    return None if row is None else ClaimedMessage(*row)


# A message that was stored while its user was being deleted still has the email address: the
# transaction of the deletion did not see it, and storing a message must not wait for it.
#
# If the lease has ended, another process may have claimed the message.
_MARK_SENT = """
UPDATE messages m
SET
    due_at = NULL,
    sent_at = %s,
    failure = NULL,
    recipient = CASE
        WHEN m.kind <> 'user-deleted'
            AND (m.user_id IS NULL OR EXISTS (SELECT FROM users u WHERE u.id = m.user_id))
            THEN recipient
    END
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
    """Defer a claimed message; ``is_counted`` unless the relay caused the failure."""
    parameters = (until, failure, 0 if is_counted else 1, message.id, message.due_at)
    await connection.execute(_DEFER, parameters)


_GIVE_UP = """
UPDATE messages m
SET
    due_at = NULL,
    failed_at = %s,
    failure = %s,
    recipient = CASE
        WHEN m.kind = 'user-deleted' AND m.expires_at <= %s THEN NULL
        WHEN m.user_id IS NULL OR EXISTS (SELECT FROM users u WHERE u.id = m.user_id) THEN recipient
    END
WHERE id = %s AND due_at = %s
"""


async def give_up(
    connection: Connection, message: ClaimedMessage, *, at: datetime, failure: str
) -> None:
    """Record that a claimed message is not sent, and why."""
    await connection.execute(_GIVE_UP, (at, failure, at, message.id, message.due_at))


_SKIP = "UPDATE messages SET due_at = NULL WHERE id = %s AND due_at = %s"


async def skip(connection: Connection, message: ClaimedMessage) -> None:
    """Record that nothing is left to do for a claimed message, which has no recipient."""
    await connection.execute(_SKIP, (message.id, message.due_at))


_DELETE = """
DELETE FROM messages
WHERE id IN (
    SELECT id
    FROM messages
    WHERE expires_at < %s{of_kind}
    ORDER BY expires_at
    LIMIT %s
    FOR UPDATE SKIP LOCKED
)
"""
_DELETE_EXPIRED = _DELETE.format(of_kind="")
_DELETE_EXPIRED_DELETIONS = _DELETE.format(of_kind=" AND kind = 'user-deleted'")


async def delete_expired(connection: Connection, *, before: datetime, limit: int) -> int:
    """Delete messages that expired before a time; return their number."""
    return await connection.execute(_DELETE_EXPIRED, (before, limit))


async def delete_expired_deletions(connection: Connection, *, before: datetime, limit: int) -> int:
    """Delete messages about deletions that expired before a time; return their number."""
    return await connection.execute(_DELETE_EXPIRED_DELETIONS, (before, limit))
