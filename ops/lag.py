"""How late the event loop is: whatever blocks it makes everybody wait."""

import asyncio
import logging
from collections.abc import Callable

from ops.logs import SERVER

_LOOK_SECONDS = 0.1


class LagWatch:
    """Looks ten times a second how late the loop comes, and logs what is over a bound.

    ``observe`` is called with each lag, in seconds.
    """

    def __init__(
        self, warning_seconds: float, observe: Callable[[float], None] | None = None
    ) -> None:
        self._warning_seconds = warning_seconds
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + _LOOK_SECONDS
        self._timer = self._loop.call_at(self._due, self._look)

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        lag = now - self._due
        if self._observe is not None:
            self._observe(lag)
        if lag > self._warning_seconds:
            logging.getLogger(SERVER).warning("the event loop came %.0f ms late", lag * 1000)
        self._due = now + _LOOK_SECONDS
        self._timer = self._loop.call_at(self._due, self._look)
