"""Periodic tasks, which run alongside requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ops.logs import SERVER

# The delay of the next attempt after a failure.
_RETRY_SECONDS = 10.0


class PeriodicTask:
    """Repeats some work until it is closed.

    ``work`` returns the delay of the next run in seconds. A failure is logged with ``name`` as the
    message, such as "housekeeping failed", and the work is retried: no failure stops the server.
    The message of an ``expected`` failure is the reason; any other is logged with its traceback.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[float]],
        *,
        expected: tuple[type[Exception], ...] = (),
    ) -> None:
        self._name = name
        self._work = work
        self._expected = expected
        self._is_closed = False
        self._task = asyncio.get_running_loop().create_task(self._repeat())

    async def close(self) -> None:
        """Stop, even during a run."""
        # A flag besides the cancellation, which asyncio.wait_for can swallow.
        self._is_closed = True
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _repeat(self) -> None:
        while not self._is_closed:
            try:
                seconds = await self._work()
            except self._expected as error:
                seconds = _RETRY_SECONDS
                logging.getLogger(SERVER).warning("%s: %s", self._name, error)
            except Exception:
                seconds = _RETRY_SECONDS
                logging.getLogger(SERVER).exception(self._name)
            if not self._is_closed:
                await asyncio.sleep(seconds)
