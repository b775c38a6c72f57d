"""The events table: the audit trail."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from db.pool import Connection
from db.rows import EventRow, NewEvent

INSERT = """
INSERT INTO events (
    at, kind, outcome, user_id, email_digest, ip, client_id, key_id, request_id, actor, times
)
VALUES (
    %(at)s, %(kind)s, %(outcome)s, %(user_id)s, %(email_digest)s, %(ip)s, %(client_id)s,
    %(key_id)s, %(request_id)s, %(actor)s, %(times)s
)
"""
# For backups of a database of an earlier version.
INSERT_BEFORE_4 = """
INSERT INTO events (at, kind, outcome, user_id, email_digest, ip, client_id, key_id, request_id)
VALUES (
    %(at)s, %(kind)s, %(outcome)s, %(user_id)s, %(email_digest)s, %(ip)s, %(client_id)s,
    %(key_id)s, %(request_id)s
)
"""


async def insert_event(connection: Connection, event: NewEvent) -> None:
    """Insert an event."""
    await connection.execute(INSERT, parameters_of(event))


def parameters_of(event: NewEvent) -> Mapping[str, object]:
    """Return the parameters of INSERT for an event."""
    return asdict(event)


_INSERT_FOR_USERS = """
INSERT INTO events (at, kind, outcome, actor, user_id, email_digest)
SELECT %(at)s, %(kind)s, %(outcome)s, %(actor)s, user_id, email_digest
FROM unnest(%(user_ids)s::uuid[], %(email_digests)s::text[]) AS new (user_id, email_digest)
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
    parameters = {
        "at": at,
        "kind": kind,
        "outcome": outcome,
        "actor": actor,
        "user_ids": list(user_ids),
        "email_digests": list(email_digests),
    }
    await connection.execute(_INSERT_FOR_USERS, parameters)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Conditions on events, all of which must be met; None means no condition.

    ``before`` is the public id of an event; if it does not exist, or belongs to another user, no
    event precedes it. ``after`` is an id, ``ip`` an IP address or a network.
    """

    user_id: str | None = None
    email_digest: str | None = None
    kind: str | None = None
    since: datetime | None = None
    before: str | None = None
    after: int | None = None
    outcome: str | None = None
    request_id: str | None = None
    ip: str | None = None


SELECT_EVENTS = """
SELECT
    id, public_id, at, kind, outcome, user_id, email_digest, host(ip), client_id, key_id,
    request_id, actor, times
FROM events
"""
FIND = f"""
{SELECT_EVENTS}
WHERE
    (%(user_id)s::uuid IS NULL OR user_id = %(user_id)s::uuid)
    AND (%(email_digest)s::text IS NULL OR email_digest = %(email_digest)s)
    AND (%(kind)s::text IS NULL OR kind = %(kind)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (
        %(before)s::uuid IS NULL
        OR id < (
            SELECT last.id
            FROM events AS last
            WHERE
                last.public_id = %(before)s::uuid
                AND (%(user_id)s::uuid IS NULL OR last.user_id = %(user_id)s::uuid)
            LIMIT 1
        )
    )
    AND (%(after)s::bigint IS NULL OR id > %(after)s)
    AND (%(outcome)s::text IS NULL OR outcome = %(outcome)s)
    AND (%(request_id)s::text IS NULL OR request_id = %(request_id)s)
    AND (%(ip)s::inet IS NULL OR ip <<= %(ip)s::inet)
ORDER BY id DESC
LIMIT %(limit)s
"""


async def find_events(connection: Connection, wanted: EventFilter, *, limit: int) -> list[EventRow]:
    """Return the events that pass a filter, newest first."""
    parameters = {**asdict(wanted), "limit": limit}
    return [EventRow(*row) for row in await connection.fetch_all(FIND, parameters)]


EXISTS = "SELECT EXISTS (SELECT FROM events WHERE public_id = %s)"


async def has_event(connection: Connection, public_id: str) -> bool:
    """Return whether an event exists."""
    row = await connection.fetch_one(EXISTS, (public_id,))
    return row is not None and bool(row[0])


_FIND_ORIGINS = """
SELECT user_id::text, host(ip)
FROM events
WHERE
    at >= %(since)s
    AND kind = ANY (%(kinds)s::text[])
    AND ip IS NOT NULL
    AND (%(email_digest)s::text IS NULL OR email_digest = %(email_digest)s)
GROUP BY user_id, ip
ORDER BY max(id) DESC
LIMIT %(limit)s
"""


async def find_origins(
    connection: Connection,
    *,
    kinds: Sequence[str],
    since: datetime,
    email_digest: str | None,
    limit: int,
) -> list[tuple[str | None, str]]:
    """Return the users, if known, and the IP addresses of events; of one email address or all.

    Each combination is returned once, the newest first.
    """
    parameters = {
        "since": since,
        "kinds": list(kinds),
        "email_digest": email_digest,
        "limit": limit,
    }
    rows = await connection.fetch_all(_FIND_ORIGINS, parameters)
    return [(row[0], row[1]) for row in rows]


DELETE_OLD = """
DELETE FROM events
WHERE at < %(before)s AND (id, at) IN (
    SELECT id, at
    FROM events
    WHERE at < %(before)s
    ORDER BY at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
"""


async def delete_old(connection: Connection, *, before: datetime, limit: int) -> int:
    """Delete events from before a time, oldest first; return how many."""
    return await connection.execute(DELETE_OLD, {"before": before, "limit": limit})
