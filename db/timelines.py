"""The timelines of Postgres: each promotion begins a new one.

A primary that was replaced while it was frozen or cut off still considers itself the primary. Its
timeline reveals it, once this process has connected to the new primary. The timeline of a
connection never changes, since connections to standbys are not used: it is read when one is opened.
"""

from dataclasses import dataclass

from db.connection import Connection
from db.errors import ReadOnly, StatementError

# The name of a WAL file begins with the timeline. pg_control_checkpoint() returns the old timeline
# until the next checkpoint.
_FIND = """
SELECT
    (SELECT system_identifier FROM pg_control_system()),
    substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
"""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A timeline of a cluster."""

    cluster: int
    number: int


async def find_timeline(connection: Connection) -> Timeline | None:
    """Return the timeline of a primary, or None if it does not report one."""
    try:
        row = await connection.fetch_one(_FIND)
    except StatementError:
        # A service that resembles Postgres may lack the functions, or deny their use.
        return None
    return Timeline(row[0], int(row[1], 16)) if row else None


class Timelines:
    """The newest timeline of each cluster that this process has connected to."""

    def __init__(self) -> None:
        self._newest: dict[int, int] = {}

    @property
    def newest(self) -> int | None:
        """Return the newest timeline; None unless this process knows exactly one cluster."""
        return next(iter(self._newest.values())) if len(self._newest) == 1 else None

    def learn(self, timeline: Timeline, host: str) -> bool:
        """Record the timeline of a primary; return whether it is newer than those before.

        Raises ReadOnly if it is older: the primary was replaced.
        """
        newest = self._newest.setdefault(timeline.cluster, timeline.number)
        if timeline.number < newest:
            raise ReadOnly(
                f"Postgres at {host} was replaced: it is on timeline {timeline.number}, and another"
                f" primary on timeline {newest}"
            )
        self._newest[timeline.cluster] = timeline.number
        return timeline.number > newest

    def is_newest(self, timeline: Timeline | None) -> bool:
        """Return whether a timeline is known, and no newer one of its cluster is known."""
        return timeline is not None and self._newest.get(timeline.cluster) == timeline.number
