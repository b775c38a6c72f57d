"""The lag of the event loop."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable

import pytest

from ops.lag import LagMonitor

WARNING_SECONDS = 60  # longer than the lag of a busy machine
BLOCK_SECONDS = 120


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock a test moves, as if a callback had blocked the loop."""

    moved = 0.0

    def time(self) -> float:
        return super().time() + self.moved


def watch(caplog: pytest.LogCaptureFixture, work: Callable[[LagMonitor], Awaitable[None]]) -> str:
    """Return what is logged while a monitored loop does some work."""

    async def run() -> None:
        monitor = LagMonitor(WARNING_SECONDS)
        try:
            await work(monitor)
        finally:
            monitor.close()

    level = caplog.at_level(logging.DEBUG, "userauth")
    with level, asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(run())
    return "\n".join(record.getMessage() for record in caplog.records if record.name == "userauth")


def block() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    loop.moved += BLOCK_SECONDS


def test_a_blocked_loop_is_logged_once_with_the_duration(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(_: LagMonitor) -> None:
        block()
        await asyncio.sleep(0.25)  # two more measurements

    message = watch(caplog, work)
    match = re.fullmatch(r"event loop blocked for (\d+) ms", message)
    assert match, message
    # The measurement was due 0.1 s after the block began.
    blocked = BLOCK_SECONDS * 1000
    assert blocked - 100 <= int(match[1]) < blocked + WARNING_SECONDS * 1000
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_an_idle_loop_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def work(_: LagMonitor) -> None:
        await asyncio.sleep(0.25)  # two measurements

    assert watch(caplog, work) == ""


def test_a_closed_monitor_stops_measuring(caplog: pytest.LogCaptureFixture) -> None:
    async def work(monitor: LagMonitor) -> None:
        monitor.close()
        block()
        await asyncio.sleep(0.01)

    assert watch(caplog, work) == ""
