"""Logs why no connection to Postgres can be used, and when requests are served again."""

import logging
import math
from collections.abc import Callable, Mapping

from db.errors import (
    DatabaseError,
    NotAcknowledged,
    ReadOnly,
    RoleSettingsMissing,
    Unusable,
)
from ops.logs import SERVER

# The minimum time between two lines about one outage that ends by itself, and between the lines
# about the beginnings of two: a host name may lead to a standby every other time.
_REPEAT_SECONDS = 10.0
_BEGIN_SECONDS = 1.0

# When a cause that can end by itself ends.
_UNTIL: Mapping[type[DatabaseError], str] = {
    ReadOnly: "a primary accepts writes",
    NotAcknowledged: "it names one",
    RoleSettingsMissing: "they are set",
}


class OutageLog:
    """Logs why requests get 503, but not for each affected connection.

    Nothing is logged before ``is_on`` is set: a check, and a server that starts, report the error
    that they raise. ``clock`` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.is_on = False
        self._clock = clock
        self._logged_at = -math.inf
        self._is_open = False

    def log(self, error: DatabaseError) -> None:
        """Log an error that concerns every request: rarely, if its cause can end by itself."""
        if not self.is_on:
            return
        if isinstance(error, Unusable):
            logging.getLogger(SERVER).error("%s: requests get 503 until a restart", error)
            return
        now = self._clock()
        until = _UNTIL.get(type(error))
        pause = _REPEAT_SECONDS if self._is_open else _BEGIN_SECONDS
        if until is not None and now >= self._logged_at + pause:
            self._logged_at, self._is_open = now, True
            logging.getLogger(SERVER).warning("%s: requests get 503 until %s", error, until)

    def end(self) -> None:
        """Log, once after a line about an outage, that requests are served again."""
        if self._is_open:
            self._is_open = False
            logging.getLogger(SERVER).info("Postgres can be used again: requests are served")
