"""Sessions that wait for a synchronous standby.

Nothing of ours ends the wait of a commit: neither its time limit nor the end of its connection. If
each commit that ran out of time were followed by a new connection, Postgres would have none left.
"""

from db.connection import Connection
from db.errors import Unavailable

_COUNT = """
SELECT count(*)
FROM pg_stat_get_activity(NULL) AS other, pg_stat_get_activity(pg_backend_pid()) AS own
WHERE
    other.usesysid = own.usesysid
    AND other.wait_event = 'SyncRep'
    AND other.query_start < clock_timestamp() - make_interval(secs => %s)
"""


async def check_waiting_sessions(connection: Connection, *, limit: int, seconds: float) -> None:
    """Raise Unavailable if ``limit`` sessions of this role have waited for longer than seconds."""
    row = await connection.fetch_one(_COUNT, (seconds,))
    number = int(row[0]) if row else 0
    if number >= limit:
        raise Unavailable(f"sessions wait for a synchronous standby: {number}")
