"""Waiting until a condition holds, with a time limit."""

import asyncio
import time
from collections.abc import Callable

# Long enough for a busy machine.
SECONDS = 60.0
# The time limit of work during which a test waits: longer than a wait, so that a wait that fails
# is reported with its line, and no longer than the time limit of a test.
WORK_SECONDS = 90.0
_FAILURE = f"the condition did not hold within {SECONDS:g} s"


async def until(is_so: Callable[[], object]) -> None:
    """Wait until a condition holds, while the event loop of the test runs."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, _FAILURE
        # Some conditions are queries, which block the loop.
        await asyncio.sleep(0.005)


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait until a condition holds that another thread or process fulfills."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, _FAILURE
        time.sleep(0.005)
