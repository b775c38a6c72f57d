"""The events table, read in ascending order of ids."""

from collections.abc import Sequence

from db.events import SELECT_EVENTS
from db.pool import Connection
from db.rows import EventRow

FIND_LAST_IDS = """
SELECT id
FROM events
WHERE id >= (SELECT coalesce(max(id), 0) FROM events) - %s
ORDER BY id
"""


async def find_last_ids(connection: Connection, *, span: int) -> list[int]:
    """Return the newest id, and the ids at most ``span`` below it, in ascending order."""
    return [int(row[0]) for row in await connection.fetch_all(FIND_LAST_IDS, (span,))]


FIND_AFTER = f"""
{SELECT_EVENTS}
WHERE id > %s
ORDER BY id
LIMIT %s
"""


async def find_after(connection: Connection, last_id: int, *, limit: int) -> list[EventRow]:
    """Return the events after an id, in ascending order."""
    return [EventRow(*row) for row in await connection.fetch_all(FIND_AFTER, (last_id, limit))]


FIND_BY_IDS = f"""
{SELECT_EVENTS}
WHERE id = ANY(%s::bigint[])
ORDER BY id
LIMIT %s
"""


async def find_by_ids(connection: Connection, ids: Sequence[int], *, limit: int) -> list[EventRow]:
    """Return the events with these ids, in ascending order."""
    return [EventRow(*row) for row in await connection.fetch_all(FIND_BY_IDS, (list(ids), limit))]
