"""Lookups that a synchronous standby has to acknowledge: how Postgres must be configured for them.

A lookup that no standby acknowledges never ends, even if its connection is closed: its session
remains until a standby acknowledges.
"""

import re
from collections.abc import Callable

from db.connection import Connection
from db.errors import NotAcknowledged, Unavailable

# The interval at which all lookups together open a connection while none is acknowledged.
_RECONNECT_SECONDS = 1.0
_ONE_OF_SEVERAL = (
    "synchronous_standby_names is {setting} in Postgres: a standby other than the next primary can"
    " acknowledge lookups, so a primary that was replaced could continue to answer. Name only"
    " standbys that all have to acknowledge."
)
_FIND_NAMES = "SELECT current_setting('synchronous_standby_names')"
_COUNTED = re.compile(r"(?:(?:FIRST|ANY)\s+)?(\d+)\s*\((.*)\)", re.IGNORECASE | re.DOTALL)


class Acknowledgements:
    """The shared state of lookups that must be acknowledged; ``clock`` returns monotonic seconds.

    After a lookup that was not acknowledged, lookups are rarely retried on new connections of the
    same ``generation``; those of the next generation lead to another primary.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._missing_in: int | None = None
        self._reconnect_at = 0.0

    def record(self) -> None:
        """Record that a lookup was acknowledged."""
        self._missing_in = None

    def record_timeout(self, generation: int) -> None:
        """Record that a lookup was not acknowledged in time; its session may remain."""
        self._missing_in = generation
        self._reconnect_at = self._clock() + _RECONNECT_SECONDS

    def spend_reconnect(self, generation: int) -> None:
        """Count a new connection; raises Unavailable if it has to wait."""
        now = self._clock()
        if self._missing_in == generation and now < self._reconnect_at:
            raise Unavailable("no standby acknowledged the last lookup")
        self._reconnect_at = now + _RECONNECT_SECONDS


def late(*, acknowledged: bool) -> Unavailable:
    """Return the error of a lookup that got no answer in time."""
    standby = ", or the standby that acknowledges its answers," if acknowledged else ""
    return Unavailable(f"Postgres{standby} did not answer in time")


def is_one_of_several(setting: str) -> bool:
    """Return whether a value of synchronous_standby_names lets one standby stand in for another."""
    match = _COUNTED.fullmatch(setting.strip())
    number, names = match.groups() if match else ("1", setting)
    listed = [name.strip().strip('"') for name in names.split(",")]
    return "*" in listed or int(number) < len(listed)


async def find_acknowledgement_risks(connection: Connection) -> list[str]:
    """Return a warning if a standby other than the next primary may acknowledge.

    Raises NotAcknowledged if no standby has to.
    """
    row = await connection.fetch_one(_FIND_NAMES)
    setting = "" if row is None else str(row[0])
    if not setting:
        raise NotAcknowledged
    if not is_one_of_several(setting):
        return []
    return [_ONE_OF_SEVERAL.format(setting=setting)]
