"""The log of why no connection to Postgres can be used."""

import asyncio
import logging
import math

from db.errors import DatabaseError
from ops.logs import SERVER

# The minimum time between two lines about a state of Postgres that ends by itself.
_INTERVAL_SECONDS = 10.0


class OutageLog:
    """Logs why requests get 503, but not for each connection that meets it."""

    def __init__(self) -> None:
        self._logged_at = -math.inf

    def warn(self, error: DatabaseError, until: str) -> None:
        """Log a state that ends by itself, rarely."""
        now = asyncio.get_running_loop().time()
        if now >= self._logged_at + _INTERVAL_SECONDS:
            self._logged_at = now
            logging.getLogger(SERVER).warning("%s: requests get 503 until %s", error, until)

    def report(self, error: DatabaseError) -> None:
        """Log a state that lasts until a restart."""
        logging.getLogger(SERVER).error("%s: requests get 503 until a restart", error)
