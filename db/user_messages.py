"""The messages table: the effects of changes of a user, and the state of valid messages."""

from collections.abc import Sequence
from datetime import datetime

from db.pool import Connection

# Tries of codes lock all messages to an email address in the order of ids: see db/proofs.py. Each
# statement of a transaction would begin again at the lowest id, so all are locked first.
_LOCK = "SELECT id FROM messages WHERE user_id = %s ORDER BY id FOR UPDATE"


async def lock_messages(connection: Connection, user_id: str) -> None:
    """Lock the messages of a locked user, before any one of them is changed."""
    await connection.fetch_all(_LOCK, (user_id,))


# Locks in the same order, for a change that has not used a message before.
_VOID = """
WITH held AS MATERIALIZED (
    SELECT id
    FROM messages
    WHERE user_id = %s AND kind = ANY (%s::text[]) AND voided_at IS NULL AND used_at IS NULL
    ORDER BY id
    FOR UPDATE
)
UPDATE messages m
SET voided_at = %s, due_at = NULL
FROM held
WHERE m.id = held.id
"""


async def void_messages(
    connection: Connection, user_id: str, kinds: Sequence[str], *, at: datetime
) -> None:
    """Void the unused messages of some kinds to a user; unsent ones are not sent."""
    await connection.execute(_VOID, (user_id, list(kinds), at))


_VOID_LATER_UNDOS = """
WITH held AS MATERIALIZED (
    SELECT later.id
    FROM messages undo
    JOIN messages later ON later.user_id = undo.user_id AND later.created_at >= undo.created_at
    WHERE
        undo.id = %s
        AND later.kind = 'email-undo'
        AND later.voided_at IS NULL
        AND later.used_at IS NULL
    ORDER BY later.id
    FOR UPDATE OF later
)
UPDATE messages m
SET voided_at = %s, due_at = NULL
FROM held
WHERE m.id = held.id
"""


async def void_later_undos(connection: Connection, undo_id: str, *, at: datetime) -> None:
    """Void the unused undos of a user that were stored after another undo of that user."""
    await connection.execute(_VOID_LATER_UNDOS, (undo_id, at))


_RESERVES = """
SELECT EXISTS (
    SELECT
    FROM messages
    WHERE
        email_digest = %s
        AND kind = 'email-undo'
        AND user_id IS DISTINCT FROM %s::uuid
        AND used_at IS NULL
        AND voided_at IS NULL
        AND expires_at > %s
)
"""


async def reserves(
    connection: Connection, email_digest: str, *, except_user_id: str | None, now: datetime
) -> bool:
    """Return whether an undo may restore an email address, except for ``except_user_id``."""
    row = await connection.fetch_one(_RESERVES, (email_digest, except_user_id, now))
    return row is not None and bool(row[0])


_FIND_RESTORABLE = """
SELECT DISTINCT recipient
FROM messages
WHERE
    user_id = %s
    AND kind = 'email-undo'
    AND recipient IS NOT NULL
    AND used_at IS NULL
    AND voided_at IS NULL
    AND expires_at > %s
"""


async def find_restorable(connection: Connection, user_id: str, *, at: datetime) -> list[str]:
    """Return the earlier email addresses of a user that an undo may restore."""
    return [row[0] for row in await connection.fetch_all(_FIND_RESTORABLE, (user_id, at))]


# The rows remain until they expire, and are counted: otherwise a caller could register an address,
# delete the user and begin again, and send any number of messages. A message that a process is
# sending keeps its lease, so that it is recorded as sent.
_ANONYMIZE = """
WITH held AS MATERIALIZED (
    SELECT id
    FROM messages
    WHERE user_id = %(user_id)s OR requester_id = %(user_id)s
    ORDER BY id
    FOR UPDATE
)
UPDATE messages m
SET
    user_id = NULL,
    requester_id = NULL,
    recipient = NULL,
    failure = NULL,
    due_at = CASE WHEN attempts > 0 AND failure IS NULL THEN due_at END,
    voided_at = coalesce(voided_at, %(at)s)
FROM held
WHERE m.id = held.id
"""


async def anonymize_messages(connection: Connection, user_id: str, *, at: datetime) -> None:
    """Void the messages of a user who is deleted, and remove personal data from them."""
    await connection.execute(_ANONYMIZE, {"user_id": user_id, "at": at})


_FIND_KEYS_IN_USE = """
SELECT key_id, max(expires_at)
FROM messages
WHERE
    key_id IS NOT NULL
    AND user_id IS NOT NULL
    AND used_at IS NULL
    AND voided_at IS NULL
    AND expires_at > %s
GROUP BY key_id
"""


async def find_keys_in_use(connection: Connection, *, at: datetime) -> dict[str, datetime]:
    """Return when the last valid message of each signing key expires, by key id."""
    return dict(await connection.fetch_all(_FIND_KEYS_IN_USE, (at,)))
