"""How late the event loop is."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable

import pytest

from ops.lag import LagWatch

pytestmark = pytest.mark.serial

WARNING_SECONDS = 0.3  # a machine that is busy is not this late by itself
BLOCK_SECONDS = 0.6


def watch(caplog: pytest.LogCaptureFixture, work: Callable[[LagWatch], Awaitable[None]]) -> str:
    """Return what is logged while a loop that is watched does some work."""

    async def run() -> None:
        watching = LagWatch(WARNING_SECONDS)
        try:
            await work(watching)
        finally:
            watching.close()

    with caplog.at_level(logging.DEBUG, "userauth"):
        asyncio.run(run())
    return "\n".join(record.getMessage() for record in caplog.records if record.name == "userauth")


def block() -> None:
    time.sleep(BLOCK_SECONDS)


def test_a_loop_that_was_blocked_is_told_once_with_how_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(_: LagWatch) -> None:
        block()
        await asyncio.sleep(0.25)  # two more looks

    said = watch(caplog, work)
    match = re.fullmatch(r"the event loop came (\d+) ms late", said)
    assert match, said
    # It is late since it was due, 0.1 s after the blockade began.
    assert 400 <= int(match[1]) <= 800
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_loop_that_only_waits_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def work(_: LagWatch) -> None:
        await asyncio.gather(asyncio.sleep(0.45), asyncio.to_thread(time.sleep, 0.45))

    assert watch(caplog, work) == ""


def test_a_watch_that_was_closed_looks_no_more(caplog: pytest.LogCaptureFixture) -> None:
    async def work(watching: LagWatch) -> None:
        watching.close()
        block()
        await asyncio.sleep(0.01)

    assert watch(caplog, work) == ""
