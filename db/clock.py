"""The clock of Postgres, which all hosts that share the database use."""

import logging
import time
from collections.abc import Callable

from db.pool import Database
from ops.logs import SERVER

MEASURE_SECONDS = 60.0
# A larger offset of the host's clock is logged.
MAX_OFFSET_SECONDS = 1.0
_NOW = "SELECT extract(epoch FROM clock_timestamp())::double precision"


def steady_seconds() -> float:
    """Return the seconds since boot: this clock cannot be set, and includes suspension."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class PostgresClock:
    """Returns the time of Postgres in UTC seconds, without a query.

    It is measured periodically; in between, ``steady`` counts the seconds. Expiries, counts and the
    order of events therefore do not depend on ``wall``, the clock of this host, which is
    ``offset`` seconds ahead.
    """

    def __init__(
        self,
        database: Database,
        *,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady_seconds,
    ) -> None:
        self.offset = 0.0
        self._database = database
        self._wall = wall
        self._steady = steady
        self._start: float | None = None
        self._has_warned = False

    def __call__(self) -> float:
        """Return the time; measure() must have succeeded before."""
        if self._start is None:
            raise RuntimeError("The clock has not been measured.")
        return self._start + self._steady()

    async def measure(self) -> float:
        """Measure the time of Postgres; return the seconds until the next measurement.

        Raises DatabaseError.
        """
        async with self._database.connection() as connection:
            before = self._steady()
            row = await connection.fetch_one(_NOW)
            after, wall = self._steady(), self._wall()
        # Postgres read its clock at some time between the two.
        uncertainty = (after - before) / 2
        start = (row[0] if row else wall) - (before + uncertainty)
        # A difference within the uncertainty is ignored: it must not set the clock back.
        if self._start is None or abs(start - self._start) > uncertainty:
            self._start = start
        self.offset = wall - (self._start + after)
        self._warn(is_off=abs(self.offset) > MAX_OFFSET_SECONDS + uncertainty)
        return MEASURE_SECONDS

    def _warn(self, *, is_off: bool) -> None:
        if is_off and not self._has_warned:
            logging.getLogger(SERVER).warning(
                "the clock of this host differs by %+.1f s from that of Postgres, which the server"
                " uses: synchronize both with NTP",
                self.offset,
            )
        self._has_warned = is_off
