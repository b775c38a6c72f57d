"""The messages table: queries and changes of administrators, and metrics."""

from dataclasses import dataclass
from datetime import datetime

from db.message_rows import BacklogRow, MessageStateRow
from db.pool import Connection

# A row without a recipient is counted, but nothing is sent.
_FIND = """
SELECT * FROM (
    SELECT
        id, kind, recipient, user_id, language, created_at, expires_at,
        CASE
            WHEN sent_at IS NOT NULL THEN 'sent'
            WHEN voided_at IS NOT NULL OR used_at IS NOT NULL THEN 'void'
            WHEN failed_at IS NOT NULL THEN 'dead'
            WHEN due_at IS NULL THEN 'printed'
            ELSE 'due'
        END AS state,
        attempts, due_at, sent_at, failed_at, failure, used_at, voided_at, tries
    FROM messages
    WHERE
        recipient IS NOT NULL
        AND (%(id)s::uuid IS NULL OR id = %(id)s::uuid)
        AND (
            (%(user_id)s::uuid IS NULL AND %(email_digest)s::text IS NULL)
            OR user_id = %(user_id)s::uuid
            OR email_digest = %(email_digest)s
        )
) found
WHERE %(state)s::text IS NULL OR state = %(state)s
ORDER BY created_at DESC, id
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Conditions on messages; either a user or an email address, or neither."""

    message_id: str | None = None
    state: str | None = None
    user_id: str | None = None
    email_digest: str | None = None


async def find_messages(
    connection: Connection, wanted: MessageFilter, *, limit: int
) -> list[MessageStateRow]:
    """Return the messages that pass a filter, newest first."""
    parameters = {
        "id": wanted.message_id,
        "state": wanted.state,
        "user_id": wanted.user_id,
        "email_digest": wanted.email_digest,
        "limit": limit,
    }
    return [MessageStateRow(*row) for row in await connection.fetch_all(_FIND, parameters)]


async def find_message(connection: Connection, message_id: str) -> MessageStateRow | None:
    """Return a message, or None."""
    found = await find_messages(connection, MessageFilter(message_id), limit=1)
    return found[0] if found else None


# A message that a process is sending is left out: its failure is null until the attempt has failed.
# Rows are locked in the same order as by tries of codes: see db/proofs.py.
_RETRY = """
WITH held AS MATERIALIZED (
    SELECT id
    FROM messages
    WHERE
        (id = %(id)s::uuid OR (%(id)s::uuid IS NULL AND failed_at IS NOT NULL))
        AND recipient IS NOT NULL
        AND failure IS NOT NULL
        AND sent_at IS NULL
        AND used_at IS NULL
        AND voided_at IS NULL
        AND expires_at > %(now)s
    ORDER BY id
    FOR UPDATE
)
UPDATE messages m
SET due_at = %(now)s, failed_at = NULL, attempts = 0
FROM held
WHERE m.id = held.id
"""


async def retry(connection: Connection, message_id: str | None, *, now: datetime) -> int:
    """Make a message due whose last attempt failed, or all that the server gave up on.

    Return their number. Messages that are no longer valid are not changed.
    """
    return await connection.execute(_RETRY, {"id": message_id, "now": now})


_DROP = """
UPDATE messages
SET voided_at = %s, due_at = NULL
WHERE id = %s AND voided_at IS NULL
"""


async def drop(connection: Connection, message_id: str, *, now: datetime) -> bool:
    """Void a message, so that it is not sent; return False if it was already void."""
    return await connection.execute(_DROP, (now, message_id)) == 1


_BACKLOG = """
SELECT count(*), min(created_at)
FROM messages
WHERE due_at IS NOT NULL AND expires_at > %(now)s AND recipient IS NOT NULL
"""


async def measure_backlog(connection: Connection, *, now: datetime) -> BacklogRow:
    """Return how many unexpired messages are to be sent, and when the oldest was stored.

    Deferred messages are included: while the relay accepts none, all are deferred.
    """
    row = await connection.fetch_one(_BACKLOG, {"now": now})
    return BacklogRow(0, None) if row is None else BacklogRow(*row)
