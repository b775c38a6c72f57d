"""Waiting until a condition holds, with a time limit."""

import asyncio
import time
from collections.abc import Callable

# Long enough for a busy machine, and shorter than the time limit of a test.
_SECONDS = 60.0


async def until(is_so: Callable[[], object]) -> None:
    """Wait until a condition holds, while the event loop of the test runs."""
    deadline = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.001)


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait until a condition holds that another thread or process fulfills."""
    deadline = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
