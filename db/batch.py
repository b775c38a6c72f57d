"""The lookups that share one statement."""

import asyncio
import time
from typing import Generic, TypeVar

from ops.timing import RequestTiming, current_timing

Found = TypeVar("Found")

# The maximum number of keys in a batch.
BATCH_SIZE = 500
# How long a batch accepts keys: the waits of its requests differ by this at most.
BATCH_SECONDS = 0.2


class Batch(Generic[Found]):
    """Lookups by key, each with a future of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[str, list[asyncio.Future[Found | None]]] = {}
        # When each request began to wait: one with two lookups in the batch counts once.
        self._since: dict[RequestTiming, float] = {}
        self.began = loop.time()
        self.sent_at = 0.0
        self.can_retry = True
        self.has_failed = False

    @property
    def is_open(self) -> bool:
        """Return whether the batch accepts another key."""
        return len(self._waiting) < BATCH_SIZE and self._loop.time() < self.began + BATCH_SECONDS

    @property
    def size(self) -> int:
        """Return the number of keys."""
        return len(self._waiting)

    @property
    def keys(self) -> list[str]:
        return list(self._waiting)

    def add(self, key: str) -> "asyncio.Future[Found | None]":
        result: asyncio.Future[Found | None] = self._loop.create_future()
        self._waiting.setdefault(key, []).append(result)
        timing = current_timing()
        if timing is not None:
            self._since.setdefault(timing, time.perf_counter())
        return result

    def resolve(self, found: dict[str, Found]) -> None:
        """Set the result of each lookup: its row, or None."""
        self._count_time()
        for key, results in self._waiting.items():
            for result in results:
                # It is already done if its time limit passed or its request was cancelled.
                if not result.done():
                    result.set_result(found.get(key))

    def fail(self, error: Exception) -> None:
        """Set the error of each lookup that has no result."""
        self._count_time()
        self.can_retry = False
        self.has_failed = True
        for results in self._waiting.values():
            for result in results:
                if not result.done():
                    result.set_exception(error)

    def _count_time(self) -> None:
        now = time.perf_counter()
        for timing, since in self._since.items():
            timing.database += now - since
        self._since.clear()
