"""The messages table: what becomes of messages to a user, and which signing keys they need."""

from datetime import datetime

from db.pool import Connection

# The rows stay until they expire, and count: otherwise a caller could register an address, delete
# the user and begin again, and send any number of messages.
_ANONYMIZE = """
UPDATE messages
SET
    user_id = NULL,
    requester_id = NULL,
    recipient = NULL,
    failure = NULL,
    due_at = NULL,
    voided_at = coalesce(voided_at, %(at)s)
WHERE user_id = %(user_id)s OR requester_id = %(user_id)s
"""


async def anonymize_messages(connection: Connection, user_id: str, *, at: datetime) -> None:
    """Make the messages of a user who is deleted void, and remove what is personal in them."""
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
