"""The lag of the event loop: all requests wait for whatever blocks it."""

import asyncio
import logging
from collections.abc import Callable

from ops.logs import SERVER

_INTERVAL_SECONDS = 0.1


class LagMonitor:
    """Measures the lag ten times a second, and logs one above a threshold.

    ``observe`` is called with each lag, in seconds.
    """

    def __init__(
        self, warning_seconds: float, observe: Callable[[float], None] | None = None
    ) -> None:
        self._warning_seconds = warning_seconds
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + _INTERVAL_SECONDS
        self._timer = self._loop.call_at(self._due, self._measure)

    def close(self) -> None:
        """Stop measuring."""
        self._timer.cancel()

    def _measure(self) -> None:
        now = self._loop.time()
        lag = now - self._due
        if self._observe is not None:
            self._observe(lag)
        if lag > self._warning_seconds:
            logging.getLogger(SERVER).warning("event loop blocked for %.0f ms", lag * 1000)
        self._due = now + _INTERVAL_SECONDS
        self._timer = self._loop.call_at(self._due, self._measure)
