"""The queue for hashes: its slots, its workers, and the estimate of a wait."""

import asyncio
import os
import sys
import threading
import time
from functools import partial

import pytest

from rules.errors import Overloaded
from tests.harness.hash_queue import MakeQueue, Work, caller, in_slot, queued, run, waiting


@pytest.mark.parametrize("workers", [1, 3])
def test_as_many_run_at_a_time_as_there_are_workers(
    make_queue: MakeQueue, work: Work, workers: int
) -> None:
    async def flow() -> None:
        tasks = queued(make_queue(workers=workers), work, [caller()] * 12)
        await work.started(workers)
        assert work.at_a_time == workers
        work.may_end.set()
        assert await asyncio.gather(*tasks) == list(range(12))

    run(flow)
    assert len(work.threads) == workers


@pytest.mark.parametrize(("workers", "admitted", "retry_after"), [(1, 2, "3"), (2, 4, "3")])
def test_a_caller_that_would_wait_too_long_is_rejected_with_retry_after_and_admitted_later(
    make_queue: MakeQueue, work: Work, workers: int, admitted: int, retry_after: str
) -> None:
    """With 1 s each, the third of one worker ends after 3 s, the fifth of two after 2.5 s."""
    queue = make_queue(workers=workers, max_wait_seconds=2.9, seconds_each=1)

    async def flow() -> None:
        tasks = queued(queue, work, [caller(number) for number in range(admitted)])
        await work.started(workers)
        with pytest.raises(Overloaded) as rejection:
            await in_slot(queue, lambda: None, caller(admitted))
        assert dict(rejection.value.headers)["Retry-After"] == retry_after
        work.may_end.set()
        await asyncio.gather(*tasks)
        assert await in_slot(queue, lambda: "admitted") == "admitted"

    run(flow)


def test_an_idle_queue_admits_callers_however_slow_hashes_are(make_queue: MakeQueue) -> None:
    queue = make_queue(workers=2, max_wait_seconds=0.01, seconds_each=100)

    async def flow() -> None:
        async with queue.slot(caller(1)), queue.slot(caller(2)):
            with pytest.raises(Overloaded):
                await in_slot(queue, lambda: None, caller(3))

    run(flow)


def test_a_slot_is_released_when_its_body_fails(make_queue: MakeQueue) -> None:
    queue = make_queue(max_wait_seconds=0.01)

    async def flow() -> None:
        for _ in range(3):
            with pytest.raises(RuntimeError, match="on purpose"):
                async with queue.slot(caller()):
                    raise RuntimeError("on purpose")

    run(flow)
    assert (queue.running, queue.waiting) == (0, 0)


def test_a_released_slot_runs_nothing(make_queue: MakeQueue) -> None:
    async def flow() -> None:
        async with make_queue().slot(caller()) as slot:
            pass
        with pytest.raises(RuntimeError, match="released"):
            await slot.run(lambda: None)

    run(flow)


def test_measurements_replace_the_initial_estimate(make_queue: MakeQueue, work: Work) -> None:
    queue = make_queue(max_wait_seconds=20, seconds_each=100)

    async def flow() -> None:
        await in_slot(queue, lambda: None)
        async with queue.slot(caller(1)) as slot:
            # The median of 100 s and almost 0 s is 50 s.
            with pytest.raises(Overloaded):
                await in_slot(queue, lambda: None, caller(2))
            await slot.run(lambda: None)
            (task,) = queued(queue, work, [caller(3)])
            await waiting(queue, 1)
        work.may_end.set()
        await task

    run(flow)


def test_one_starved_hash_does_not_close_the_queue(make_queue: MakeQueue, work: Work) -> None:
    queue = make_queue(max_wait_seconds=2, seconds_each=0)

    async def flow() -> None:
        for seconds in (0.0, 0.0, 2.0):
            await in_slot(queue, partial(time.sleep, seconds))
        work.may_end.set()
        callers = [caller(number) for number in range(1, 5)]
        # By the mean, half a second, the queue would admit three.
        assert await asyncio.gather(*queued(queue, work, callers)) == [0, 1, 2, 3]

    run(flow)


def test_workers_have_the_lowest_priority_and_the_event_loop_does_not(
    make_queue: MakeQueue,
) -> None:
    def look() -> tuple[int, int]:
        number = threading.get_native_id()
        return number, os.getpriority(os.PRIO_PROCESS, number)

    async def flow() -> None:
        before = look()
        worker, niceness = await in_slot(make_queue(), look)
        assert worker != before[0]
        # On other systems a thread has no niceness of its own.
        assert niceness == (19 if sys.platform == "linux" else before[1])
        assert look() == before

    run(flow)
