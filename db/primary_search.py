"""The search for a new primary while the known one does not answer.

A primary that was replaced may still run, but never gets the acknowledgement of a standby. If other
hosts were tried only after the time limit of a statement, each failover would take seconds longer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context

from db.errors import DatabaseError

# The minimum time between the end of a search and the next one.
_PAUSE_SECONDS = 0.3


class PrimarySearch:
    """Runs one search at a time; ``clock`` returns monotonic seconds.

    ``search`` raises DatabaseError if it finds no new primary.
    """

    def __init__(self, search: Callable[[], Awaitable[None]], clock: Callable[[], float]) -> None:
        self._search = search
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._next_at = 0.0
        self._is_closed = False

    def begin(self) -> None:
        """Begin a search, unless one runs or has just ended."""
        is_running = self._task is not None and not self._task.done()
        if not is_running and not self._is_closed and self._clock() >= self._next_at:
            # In an empty context: its time does not count as time of a request.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    async def close(self) -> None:
        """End the search."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        with suppress(DatabaseError):
            await self._search()
        self._next_at = self._clock() + _PAUSE_SECONDS
