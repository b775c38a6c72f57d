"""Logs why no connection to Postgres can be used, and when requests are served again."""

import asyncio
import logging
import math
from collections.abc import Mapping

from db.errors import (
    DatabaseError,
    NotAcknowledged,
    ReadOnly,
    RoleSettingsMissing,
    Unusable,
)
from ops.logs import SERVER

# The minimum time between two lines about a state of Postgres that ends by itself.
_INTERVAL_SECONDS = 10.0

# When a cause that can end by itself ends.
_UNTIL: Mapping[type[DatabaseError], str] = {
    ReadOnly: "a primary accepts writes",
    NotAcknowledged: "it names one",
    RoleSettingsMissing: "they are set",
}


class OutageLog:
    """Logs why requests get 503, but not for each affected connection.

    Nothing is logged before ``is_on`` is set: a check, and a server that starts, report the error
    that they raise.
    """

    def __init__(self) -> None:
        self.is_on = False
        self._logged_at = -math.inf
        self._is_open = False

    def log(self, error: DatabaseError) -> None:
        """Log an error that concerns every request: rarely, if its cause can end by itself."""
        if not self.is_on:
            return
        if isinstance(error, Unusable):
            logging.getLogger(SERVER).error("%s: requests get 503 until a restart", error)
            return
        now = asyncio.get_running_loop().time()
        until = _UNTIL.get(type(error))
        if until is not None and now >= self._logged_at + _INTERVAL_SECONDS:
            self._logged_at, self._is_open = now, True
            logging.getLogger(SERVER).warning("%s: requests get 503 until %s", error, until)

    def end(self) -> None:
        """Log, once after a line about an outage, that requests are served again."""
        if self._is_open:
            self._is_open = False
            logging.getLogger(SERVER).info("Postgres can be used again: requests are served")
