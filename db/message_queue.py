"""The messages table as administrators and metrics see it."""

from datetime import datetime

from db.pool import Connection
from db.rows import BacklogRow

_BACKLOG = """
SELECT count(*), min(created_at)
FROM messages
WHERE due_at <= %(now)s AND expires_at > %(now)s
"""


async def measure_backlog(connection: Connection, *, now: datetime) -> BacklogRow:
    """Return how many messages are due and not expired, and when the oldest was stored."""
    row = await connection.fetch_one(_BACKLOG, {"now": now})
    return BacklogRow(0, None) if row is None else BacklogRow(*row)
