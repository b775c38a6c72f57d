"""Sessions that wait for a synchronous standby.

This server cannot end the wait of a commit, neither with a time limit nor by closing the
connection. If each commit that timed out were followed by a new connection, Postgres would have
none left.
"""

from collections.abc import Callable

from db.connection import Connection
from db.errors import TooManyWaiting
from ops.rare_warning import RareWarning

_REASON = (
    "sessions wait for a synchronous standby: %d; none acknowledges (synchronous_standby_names ="
    " %r)"
)
# Only outside a transaction, whose role it would replace until the end.
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
    """Counts the sessions of this role, for each new one; ``clock`` returns monotonic seconds.

    Nothing is logged before ``is_logged`` is set: a check, and a server that starts, report them.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.is_logged = False
        self._warning = RareWarning(_REASON, clock)

    async def check(self, connection: Connection, *, limit: int, seconds: float) -> None:
        """Log a warning, rarely, if sessions have waited for longer than ``seconds``.

        Raises TooManyWaiting if their number has reached ``limit``: db/outage_log.py logs that.
        """
        number, names = await _count(connection, seconds)
        if number >= limit:
            raise TooManyWaiting(_REASON % (number, names))
        if number and self.is_logged:
            self._warning.log(number, names)


async def find_waiting_risk(connection: Connection, seconds: float) -> list[str]:
    """Return a warning if sessions of this role have waited for longer than ``seconds``."""
    number, names = await _count(connection, seconds)
    return [f"{_REASON % (number, names)}. {TooManyWaiting.advice}"] if number else []


async def _count(connection: Connection, seconds: float) -> tuple[int, str]:
    """Return the number of sessions that have waited, and the names of the standbys."""
    row = await connection.fetch_one(_COUNT, (seconds,))
    return (int(row[0]), str(row[1])) if row else (0, "")
