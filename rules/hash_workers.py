"""Threads that compute hashes, and how long a hash takes on them."""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TypeVar

from ops.timing import current_timing

Result = TypeVar("Result")
# Called with a number of seconds.
Observe = Callable[[float], None]

# The event loop has priority over the workers (see nice(2)).
_NICENESS = 19
# The number of measurements whose median is taken. A worker that was starved by the system for a
# moment does not affect the median.
_MEASUREMENTS = 15


class HashWorkers:
    """Runs functions on ``count`` threads.

    ``seconds_each`` is an initial estimate of the time of one function. ``observe`` is called with
    the time of each.
    """

    def __init__(self, count: int, seconds_each: float, observe: Observe | None = None) -> None:
        self._observe = observe
        self._seconds = deque([seconds_each], maxlen=_MEASUREMENTS)
        self._executor = ThreadPoolExecutor(count, "hashing", _lower_priority)

    @property
    def seconds_each(self) -> float:
        """Return how long one function takes."""
        return median(self._seconds)

    async def run(self, function: Callable[[], Result]) -> Result:
        """Run a function on a worker; return what it returns."""
        running = self._executor.submit(_measured, function)
        result, seconds = await asyncio.wrap_future(running)
        self._seconds.append(seconds)
        timing = current_timing()
        if timing is not None:
            timing.hashing += seconds
        if self._observe is not None:
            self._observe(seconds)
        return result

    def close(self) -> None:
        """Wait for the functions that run, and stop the threads."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _measured(function: Callable[[], Result]) -> tuple[Result, float]:
    began = time.perf_counter()
    result = function()
    return result, time.perf_counter() - began


def _lower_priority() -> None:
    # On Linux each thread has its own niceness; elsewhere this would affect the whole process.
    if os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
