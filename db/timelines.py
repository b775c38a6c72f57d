"""The timelines of Postgres: each promotion begins a new one.

A primary that was replaced while it was frozen or cut off still takes itself for the primary. It is
recognized by its timeline, once this process has met the new primary. The timeline of a connection
never changes, since no connection to a standby is used: so it is read when one is opened.
"""

from db.connection import Connection
from db.errors import ReadOnly, StatementError

# The name of a WAL file begins with the timeline. That of pg_control_checkpoint() is up to a
# checkpoint late.
_FIND = """
SELECT
    (SELECT system_identifier FROM pg_control_system()),
    substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
"""


class Timelines:
    """The newest timeline that this process has met, of each cluster that it has met."""

    def __init__(self) -> None:
        self._newest: dict[int, int] = {}

    @property
    def newest(self) -> int | None:
        """Return the newest timeline, or None if it is not known of one cluster alone."""
        return next(iter(self._newest.values())) if len(self._newest) == 1 else None

    async def meet(self, connection: Connection, host: str) -> bool:
        """Return whether a primary has a newer timeline than those before, and learn it.

        Raises ReadOnly if it has an older one: it was replaced.
        """
        try:
            row = await connection.fetch_one(_FIND)
        except StatementError:
            # A service that resembles Postgres may lack the functions, or deny their use.
            return False
        cluster, timeline = (row[0], int(row[1], 16)) if row else (0, 0)
        newest = self._newest.setdefault(cluster, timeline)
        if timeline < newest:
            raise ReadOnly(
                f"Postgres at {host} was replaced: it is on timeline {timeline}, and another"
                f" primary on timeline {newest}"
            )
        self._newest[cluster] = timeline
        return timeline > newest
