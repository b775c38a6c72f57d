"""Work that goes on beside the requests, again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ops.logs import SERVER

# When to try again after a failure.
_RETRY_SECONDS = 10.0


class PeriodicTask:
    """Does some work until it is closed.

    ``work`` returns in how many seconds it wants to be done again. What failed is logged, and
    tried again: whatever it was, the requests come first.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[float]]) -> None:
        self._name = name
        self._work = work
        self._is_closed = False
        self._task = asyncio.get_running_loop().create_task(self._repeat())

    async def close(self) -> None:
        """Stop, in the middle if need be."""
        # Told twice: what waits by asyncio.wait_for can overlook a cancellation.
        self._is_closed = True
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _repeat(self) -> None:
        while not self._is_closed:
            try:
                seconds = await self._work()
            except Exception as error:  # noqa: BLE001 - nobody else would see it
                seconds = _RETRY_SECONDS
                logging.getLogger(SERVER).warning("%s: %s", self._name, error)
            if not self._is_closed:
                await asyncio.sleep(seconds)
