"""Logs why no connection to Postgres can be used, and when requests are served again."""

import logging
import math
from collections.abc import Callable, Mapping

from db.errors import (
    DatabaseError,
    NotAcknowledged,
    ReadOnly,
    RoleSettingsMissing,
    TooManyWaiting,
    Unusable,
)
from ops.logs import SERVER

# The minimum time between two lines about one outage that ends by itself, and between the lines
# about the beginnings of two: a host name may lead to a standby every other time.
_REPEAT_SECONDS = 10.0
_BEGIN_SECONDS = 1.0

# The effect of a cause that can end by itself, and when it ends.
_EFFECTS: Mapping[type[DatabaseError], str] = {
    ReadOnly: "requests get 503 until a primary accepts writes",
    NotAcknowledged: "requests get 503 until it names one",
    RoleSettingsMissing: "requests get 503 until they are set",
    TooManyWaiting: "requests that need a new connection get 503 until a standby acknowledges",
}
# Lookups on open connections can be answered meanwhile: a new connection ends it, not an answer.
_OF_NEW_CONNECTIONS = TooManyWaiting


class OutageLog:
    """Logs why requests get 503, but not for each affected connection.

    Nothing is logged before ``is_on`` is set: a check, and a server that starts, report the error
    that they raise. ``clock`` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.is_on = False
        self._clock = clock
        self._logged_at = -math.inf
        self._open: type[DatabaseError] | None = None

    def log(self, error: DatabaseError) -> None:
        """Log an error that concerns every request: rarely, if its cause can end by itself."""
        if not self.is_on:
            return
        if isinstance(error, Unusable):
            logging.getLogger(SERVER).error("%s: requests get 503 until a restart", error)
            return
        now = self._clock()
        effect = _EFFECTS.get(type(error))
        pause = _REPEAT_SECONDS if self._open else _BEGIN_SECONDS
        if effect is not None and now >= self._logged_at + pause:
            self._logged_at, self._open = now, type(error)
            logging.getLogger(SERVER).warning("%s: %s", error, effect)

    def record_answer(self) -> None:
        """Log, once after a line about an outage that an answer ends, that requests are served."""
        if self._open is not _OF_NEW_CONNECTIONS:
            self._end()

    def record_connection(self) -> None:
        """Log the same after an outage that a new connection ends."""
        if self._open is _OF_NEW_CONNECTIONS:
            self._end()

    def _end(self) -> None:
        if self._open is not None:
            self._open = None
            logging.getLogger(SERVER).info("Postgres can be used again: requests are served")
