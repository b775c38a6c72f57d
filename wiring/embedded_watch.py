"""Logs the end of the embedded Postgres: nothing starts it again while the server runs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ops.logs import SERVER
from ops.periodic import PeriodicTask
from postgres.embedded import EmbeddedPostgres

_INTERVAL_SECONDS = 2.0


class EmbeddedWatch:
    """Logs once that Postgres has ended, and once that it runs again: a command may start it.

    A Postgres that never ran as seen from here, as in another container, is not reported.
    """

    def __init__(self, is_running: Callable[[], bool]) -> None:
        self._is_running = is_running
        # Now, and not at the first look: Postgres may end before it.
        self._was_running = is_running()
        self._has_ended = False

    async def look(self) -> float:
        """Log what has changed; return the delay of the next look."""
        is_running = await asyncio.to_thread(self._is_running)
        if self._was_running and not is_running:
            self._has_ended = True
            logging.getLogger(SERVER).error(
                "the embedded Postgres has ended: requests get 503 until a restart"
            )
        elif self._has_ended and is_running and not self._was_running:
            logging.getLogger(SERVER).info("the embedded Postgres runs again")
        self._was_running = is_running
        return _INTERVAL_SECONDS


@asynccontextmanager
async def watching(embedded: EmbeddedPostgres | None) -> AsyncIterator[None]:
    """Watch the embedded Postgres, if there is one, until the end of the block."""
    if embedded is None:
        yield
        return
    watch = EmbeddedWatch(embedded.is_running)
    task = PeriodicTask("looking at the embedded Postgres failed", watch.look, expected=(OSError,))
    try:
        yield
    finally:
        await task.close()
