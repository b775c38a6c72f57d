"""The time, as Postgres has it: one clock for every host that shares the database."""

import logging
import time
from collections.abc import Callable

from db.pool import Database
from ops.logs import SERVER

MEASURE_SECONDS = 60.0
# A clock of the host that is further away from Postgres's is worth a warning.
MOST_SECONDS = 1.0
_NOW = "SELECT extract(epoch FROM clock_timestamp())::double precision"


def steady_seconds() -> float:
    """Return seconds since the machine started: nobody sets this clock, and a sleep counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class PostgresClock:
    """Returns the time of Postgres in UTC seconds, without asking it each time.

    It is measured now and then; in between ``steady`` counts on. So expiries, counts and the order
    of events do not depend on ``wall``, the clock of this host: ``offset`` is how many seconds
    that one is ahead.
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
        self._has_told = False

    def __call__(self) -> float:
        """Return the time; it has to be measured before."""
        if self._start is None:
            raise RuntimeError("The time was not measured yet.")
        return self._start + self._steady()

    async def measure(self) -> float:
        """Ask Postgres for the time; return in how many seconds to ask again.

        Raises DatabaseError.
        """
        async with self._database.connection() as connection:
            before = self._steady()
            row = await connection.fetch_one(_NOW)
            after, wall = self._steady(), self._wall()
        # Postgres read its clock at some time between the two.
        doubt = (after - before) / 2
        start = (row[0] if row else wall) - (before + doubt)
        # What lies within the doubt is no news: the time does not go back for it.
        if self._start is None or abs(start - self._start) > doubt:
            self._start = start
        self.offset = wall - (self._start + after)
        self._tell(abs(self.offset) > MOST_SECONDS + doubt)
        return MEASURE_SECONDS

    def _tell(self, is_off: bool) -> None:  # noqa: FBT001 - what is to be told
        if is_off and not self._has_told:
            logging.getLogger(SERVER).warning(
                "the clock of this host is %+.1f s away from that of Postgres, which counts:"
                " synchronize both by NTP",
                self.offset,
            )
        self._has_told = is_off
