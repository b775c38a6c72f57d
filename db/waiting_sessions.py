"""Sessions that wait for a synchronous standby.

This server cannot end the wait of a commit, neither with a time limit nor by closing the
connection. If each commit that timed out were followed by a new connection, Postgres would have
none left.
"""

import logging
import math
from collections.abc import Callable

from db.connection import Connection
from db.errors import Unavailable
from ops.logs import SERVER

# The minimum time between two warnings.
_INTERVAL_SECONDS = 10.0
_COUNT = """
SET LOCAL ROLE NONE;
SELECT count(*), current_setting('synchronous_standby_names')
-- Only the role that connected sees what its sessions wait for: a default may have set another one.
FROM pg_stat_get_activity(NULL) AS other, pg_stat_get_activity(pg_backend_pid()) AS own
WHERE
    other.usesysid = own.usesysid
    AND other.wait_event = 'SyncRep'
    AND other.query_start < clock_timestamp() - make_interval(secs => %s)
"""


class WaitingSessions:
    """Counts the sessions of this role, for each new one; ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._warned_at = -math.inf

    async def check(self, connection: Connection, *, limit: int, seconds: float) -> None:
        """Log a warning, rarely, if sessions have waited for longer than ``seconds``.

        Raises Unavailable if their number has reached ``limit``.
        """
        row = await connection.fetch_one(_COUNT, (seconds,))
        number, names = (int(row[0]), str(row[1])) if row else (0, "")
        if number == 0:
            return
        reason = (
            f"sessions wait for a synchronous standby: {number}; none acknowledges"
            f" (synchronous_standby_names = {names!r})"
        )
        now = self._clock()
        if now >= self._warned_at + _INTERVAL_SECONDS:
            self._warned_at = now
            logging.getLogger(SERVER).warning("%s", reason)
        if number >= limit:
            raise Unavailable(reason)
