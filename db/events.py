"""The events table: the audit trail."""

from collections.abc import Sequence
from datetime import datetime

from db.pool import Connection
from db.rows import EventRow, NewEvent

INSERT = """
INSERT INTO events (
    at, kind, outcome, user_id, email_digest, ip, client_id, key_id, request_id, actor, times
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
# Into a database of an earlier version, of which a backup is made.
INSERT_BEFORE_4 = """
INSERT INTO events (at, kind, outcome, user_id, email_digest, ip, client_id, key_id, request_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


async def insert_event(connection: Connection, event: NewEvent) -> None:
    """Insert an event."""
    await connection.execute(INSERT, parameters_of(event))


def parameters_of(event: NewEvent) -> tuple[object, ...]:
    """Return what INSERT takes for an event."""
    return (
        *(event.at, event.kind, event.outcome, event.user_id, event.email_digest),
        *(event.ip, event.client_id, event.key_id, event.request_id),
        *(event.actor, event.times),
    )


_INSERT_FOR_USERS = """
INSERT INTO events (at, kind, outcome, actor, user_id, email_digest)
SELECT %s, %s, %s, %s, user_id, email_digest
FROM unnest(%s::uuid[], %s::text[]) AS new (user_id, email_digest)
"""


async def insert_for_users(
    connection: Connection,
    *,
    at: datetime,
    kind: str,
    outcome: str,
    actor: str | None,
    user_ids: Sequence[str],
    email_digests: Sequence[str],
) -> None:
    """Insert the same event for many users."""
    parameters = (at, kind, outcome, actor, list(user_ids), list(email_digests))
    await connection.execute(_INSERT_FOR_USERS, parameters)


_FIND = """
SELECT
    id, public_id, at, kind, outcome, user_id, email_digest, host(ip), client_id, key_id,
    request_id, actor, times
FROM events
WHERE
    (%(user_id)s::uuid IS NULL OR user_id = %(user_id)s::uuid)
    AND (%(email_digest)s::text IS NULL OR email_digest = %(email_digest)s)
    AND (%(kind)s::text IS NULL OR kind = %(kind)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (
        %(before)s::uuid IS NULL
        OR id < (
            SELECT max(last.id)
            FROM events AS last
            WHERE
                last.public_id = %(before)s::uuid
                AND (%(user_id)s::uuid IS NULL OR last.user_id = %(user_id)s::uuid)
        )
    )
    AND (%(after)s::bigint IS NULL OR id > %(after)s)
ORDER BY id DESC
LIMIT %(most)s
"""


async def find_events(
    connection: Connection,
    *,
    most: int,
    user_id: str | None = None,
    email_digest: str | None = None,
    kind: str | None = None,
    since: datetime | None = None,
    before: str | None = None,
    after: int | None = None,
) -> list[EventRow]:
    """Return events, newest first: those of which everything holds that is asked for.

    ``before`` is the public id of an event; none comes before one that does not exist, or is of
    another user. ``after`` is an id.
    """
    asked = {
        "user_id": user_id,
        "email_digest": email_digest,
        "kind": kind,
        "since": since,
        "before": before,
        "after": after,
        "most": most,
    }
    return [EventRow(*row) for row in await connection.fetch_all(_FIND, asked)]


_DELETE_OLD = """
DELETE FROM events
WHERE id IN (
    SELECT id
    FROM events
    WHERE at < %s
    ORDER BY at
    LIMIT %s
    FOR UPDATE SKIP LOCKED
)
"""


async def delete_old(connection: Connection, *, before: datetime, most: int) -> int:
    """Remove events from before a time, the oldest first; return how many."""
    return await connection.execute(_DELETE_OLD, (before, most))


_FIND_DIGEST_KEY = "SELECT key FROM digest_key"


async def get_digest_key(connection: Connection) -> str:
    """Return the key of the digests in the database."""
    row = await connection.fetch_one(_FIND_DIGEST_KEY)
    if row is None:
        raise LookupError("The table digest_key is empty; schema.sql puts a row into it.")
    return str(row[0])
