"""Periodic tasks."""

import asyncio
from contextlib import suppress

import pytest

from ops import periodic
from ops.periodic import PeriodicTask
from tests.harness.waiting import until


def test_a_periodic_task_repeats_until_it_is_closed() -> None:
    async def run() -> None:
        done = 0

        async def work() -> float:
            nonlocal done
            done += 1
            return 0

        task = PeriodicTask("work", work)
        while done < 3:
            await asyncio.sleep(0)
        await task.close()
        before = done
        await asyncio.sleep(0.01)
        assert done == before

    asyncio.run(run())


@pytest.mark.parametrize("expected", [(), (OSError, RuntimeError)])
def test_a_failure_is_logged_and_retried_and_has_a_traceback_unless_it_was_expected(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    expected: tuple[type[Exception], ...],
) -> None:
    monkeypatch.setattr(periodic, "_RETRY_SECONDS", 0.001)

    async def run() -> None:
        attempts = 0

        async def work() -> float:
            nonlocal attempts
            attempts += 1
            raise RuntimeError(f"number {attempts}")

        task = PeriodicTask("the work failed", work, expected=expected)
        await until(lambda: attempts >= 2)
        await task.close()

    asyncio.run(run())
    first = caplog.records[0]
    if expected:
        assert (first.getMessage(), first.exc_info) == ("the work failed: number 1", None)
    else:
        assert first.getMessage() == "the work failed"
        assert "RuntimeError: number 1" in caplog.text


def test_work_that_swallows_its_cancellation_is_stopped() -> None:
    async def run() -> None:
        has_begun = asyncio.Event()

        async def work() -> float:
            has_begun.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            return 60

        task = PeriodicTask("work", work)
        await has_begun.wait()
        async with asyncio.timeout(30):
            await task.close()

    asyncio.run(run())
