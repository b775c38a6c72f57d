"""Where hashes wait for a core: in turn, for a bounded time, and never in anybody's way."""

import asyncio
import math
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from statistics import median
from typing import TypeVar
from weakref import WeakSet

from auth.errors import ClientGone, Overloaded, Unavailable
from ops.spent import current

Result = TypeVar("Result")
First = Callable[[], Awaitable[None]]
# Told of each hash: how many seconds it waited for its turn, and how many it took.
ObserveHash = Callable[[float, float], None]

# How far workers step back for the event loop (see nice(2)).
_NICENESS = 19
# How much of the time allowed is given away: the next hashes may be slower than the last.
_MARGIN = 0.8
# How many measurements count. Their median does: one worker that the system let starve for
# a moment says nothing of the others.
_MEASUREMENTS = 15


class HashingLane:
    """Runs slow functions on a few worker threads, first come, first served.

    ``workers`` is how many run at a time, 0 for one per core. Whoever would wait for the result
    longer than ``max_wait_seconds`` is not let in, unless a worker is free; ``seconds_each``
    is how long one takes, as a first guess: the lane measures on. ``refused`` counts those
    who were not let in, or waited for too long.
    """

    def __init__(
        self,
        *,
        workers: int,
        max_wait_seconds: float,
        seconds_each: float,
        observe: ObserveHash | None = None,
    ) -> None:
        self.workers = workers or os.cpu_count() or 1
        self.refused = 0
        self._observe = observe
        self._max_wait_seconds = max_wait_seconds
        self._seconds = deque([seconds_each], maxlen=_MEASUREMENTS)
        self._places = 0
        self._free_turns = self.workers
        self._waiting: dict[asyncio.Task[object], asyncio.Future[None]] = {}
        self._abandoned: WeakSet[asyncio.Task[object]] = WeakSet()
        self._executor = ThreadPoolExecutor(self.workers, "hashing", _step_back)

    @property
    def running(self) -> int:
        """Return how many have a worker."""
        return self.workers - self._free_turns

    @property
    def waiting(self) -> int:
        """Return how many wait for a worker."""
        return len(self._waiting)

    @property
    def has_free_worker(self) -> bool:
        """Tell whether something new would begin at once."""
        return self._places < self.workers

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the lane; raises Overloaded where the wait would be too long."""
        wait = self._wait_seconds()
        if not self.has_free_worker and wait > self._max_wait_seconds * _MARGIN:
            raise self._refusal(wait)
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    async def run(self, function: Callable[[], Result], first: First | None = None) -> Result:
        """Run a function on a worker and return what it returns.

        ``first`` is awaited when its turn has come; what it raises ends it there. Where that is
        Unavailable, it ends all who wait: none of them would fare better, one after the other.

        Raises ClientGone in a task that was abandoned before its turn came, and Overloaded
        where the system has become so slow that the wait was longer than foreseen: too late,
        but sooner than the hash would be.
        """
        task = asyncio.current_task()
        if task is None or task in self._abandoned:
            raise ClientGone
        is_next = self._places <= self.workers
        began = time.perf_counter()
        async with self._turn(task):
            waited = time.perf_counter() - began
            if waited > self._max_wait_seconds and not is_next:
                raise self._refusal(self._wait_seconds())
            if first is not None:
                await self._await_first(first)
            running = self._executor.submit(_measured, function)
            result, seconds = await asyncio.wrap_future(running)
        self._seconds.append(seconds)
        spent = current()
        if spent is not None:
            spent.hashing += seconds
        if self._observe is not None:
            self._observe(waited, seconds)
        return result

    def abandon(self, task: "asyncio.Task[object]") -> None:
        """Drop what a task waits for, or will; what runs already goes on to its end."""
        self._abandoned.add(task)
        if task in self._waiting:
            self._drop(self._waiting[task], ClientGone())

    def close(self) -> None:
        """Stop the workers; what waits is dropped."""
        self._drop_all(ClientGone())
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _refusal(self, wait_seconds: float) -> Overloaded:
        self.refused += 1
        return Overloaded(math.ceil(wait_seconds))

    def _wait_seconds(self) -> float:
        """Return how long somebody new would wait for the result."""
        return median(self._seconds) * (self._places + 1) / self.workers

    @asynccontextmanager
    async def _turn(self, task: "asyncio.Task[object]") -> AsyncIterator[None]:
        """Wait until a worker is free, first come, first served."""
        if self._free_turns:
            self._free_turns -= 1
        else:
            turn = self._waiting[task] = asyncio.get_running_loop().create_future()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self._pass_on()
                raise
            finally:
                del self._waiting[task]
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        for turn in self._waiting.values():
            if not turn.done():
                turn.set_result(None)
                return
        self._free_turns += 1

    async def _await_first(self, first: First) -> None:
        try:
            await first()
        except Unavailable as error:
            self._drop_all(error)
            raise

    def _drop_all(self, error: Exception) -> None:
        for turn in self._waiting.values():
            self._drop(turn, error)

    @staticmethod
    def _drop(turn: "asyncio.Future[None]", error: Exception) -> None:
        if not turn.done():
            turn.set_exception(error)


def _measured(function: Callable[[], Result]) -> tuple[Result, float]:
    began = time.perf_counter()
    result = function()
    return result, time.perf_counter() - began


def _step_back() -> None:
    # On Linux a thread has a niceness of its own; elsewhere this would be the whole process's.
    if os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
