"""Callers that the queue for hashes rejected: which of them it admits first."""

import asyncio
from functools import partial

import pytest

from rules.errors import DatabaseUnavailable, Overloaded, RowLocked
from rules.hash_queue import HashQueue
from rules.turns import Caller
from tests.harness.clock import Clock
from tests.harness.hash_queue import (
    MakeQueue,
    Work,
    caller,
    in_slot,
    outcomes,
    queued,
    run,
    waiting,
)
from tests.harness.waiting import until


def test_a_caller_that_honors_retry_after_precedes_one_that_does_not(
    make_queue: MakeQueue, work: Work
) -> None:
    clock = Clock()
    queue = make_queue(max_wait_seconds=5, clock=clock)

    async def flow() -> None:
        tasks = queued(queue, work, [caller(number) for number in range(4)])
        await work.started(1)
        for number in (4, 5):
            with pytest.raises(Overloaded) as rejected:
                await in_slot(queue, lambda: None, caller(number))
        clock.advance(rejected.value.retry_after_seconds - 1)
        with pytest.raises(Overloaded):
            await in_slot(queue, lambda: None, caller(4))  # too soon
        clock.advance(1)
        tasks += queued(queue, work, [caller(4), caller(5)], first=4)
        await until(lambda: tasks[3].done() and tasks[4].done())
        work.may_end.set()
        assert await outcomes(tasks) == [True, True, True, False, False, True]

    run(flow)
    assert work.begun[:2] == [0, 5]


def test_of_returning_callers_the_one_that_was_rejected_first_is_admitted(
    make_queue: MakeQueue, work: Work
) -> None:
    clock = Clock()
    queue = make_queue(max_wait_seconds=5, clock=clock)

    async def rejected(who: Caller) -> None:
        with pytest.raises(Overloaded):
            await in_slot(queue, lambda: None, who)

    async def flow() -> None:
        tasks = queued(queue, work, [caller(number) for number in range(4)])
        await work.started(1)
        await rejected(caller(9))
        clock.advance(1)
        for number in (4, 5, 6):
            await rejected(caller(number))
        clock.advance(5)
        # Three that were rejected later replace three unknown.
        tasks += queued(queue, work, [caller(4), caller(5), caller(6)], first=4)
        await until(lambda: all(task.done() for task in tasks[1:4]))
        tasks += queued(queue, work, [caller(9)], first=7)
        await until(lambda: sum(task.done() for task in tasks[4:7]) == 1)
        work.may_end.set()
        assert (await outcomes(tasks))[7]

    run(flow)


def test_when_one_caller_finds_no_database_the_waiting_callers_do_not_try_in_turn(
    make_queue: MakeQueue, work: Work
) -> None:
    asked: list[None] = []

    async def count_and_hash(queue: HashQueue) -> None:
        async with queue.slot(caller()):
            asked.append(None)
            await asyncio.sleep(0)
            raise DatabaseUnavailable

    async def flow() -> None:
        queue = make_queue()
        hashes = [count_and_hash(queue) for _ in range(12)]
        for outcome in await asyncio.gather(*hashes, return_exceptions=True):
            assert isinstance(outcome, DatabaseUnavailable)
        # The queue still works.
        work.may_end.set()
        assert await in_slot(queue, partial(work.run, 1)) == 1

    run(flow)
    assert (len(asked), work.begun) == (1, [1])


def test_a_locked_row_does_not_end_the_wait_of_other_callers(
    make_queue: MakeQueue, work: Work
) -> None:
    async def flow() -> None:
        queue = make_queue()
        with pytest.raises(RowLocked):
            async with queue.slot(caller(1)):
                (task,) = queued(queue, work, [caller(2)])
                await waiting(queue, 1)
                raise RowLocked
        work.may_end.set()
        assert await task == 0

    run(flow)
