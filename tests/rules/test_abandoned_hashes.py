"""Callers that disconnect, or are cancelled, while they wait for a hash."""

import asyncio
import time
from functools import partial

import pytest

from rules.errors import CallerDisconnected, Overloaded
from rules.turns import Caller
from tests.harness.clock import Clock
from tests.harness.hash_queue import MakeQueue, Work, caller, in_slot, queued, run, waiting


def test_a_caller_that_waited_longer_than_expected_is_rejected_without_a_hash(
    make_queue: MakeQueue,
) -> None:
    queue = make_queue(workers=1, max_wait_seconds=0.05, seconds_each=0)
    ran: list[str] = []

    async def flow() -> None:
        first = asyncio.create_task(in_slot(queue, partial(time.sleep, 0.2)))
        second = asyncio.create_task(in_slot(queue, partial(ran.append, "second")))
        await first
        with pytest.raises(Overloaded):
            await second

    run(flow)
    assert ran == []


def test_an_abandoned_task_is_dropped_while_it_waits_and_continues_once_it_runs(
    make_queue: MakeQueue, work: Work
) -> None:
    queue = make_queue()

    async def flow() -> None:
        running, dropped, last = queued(queue, work, [caller()] * 3)
        await work.started(1)
        queue.abandon(dropped)
        queue.abandon(running)
        with pytest.raises(CallerDisconnected):
            await dropped
        work.may_end.set()
        assert await last == 2

    run(flow)
    assert work.begun == [0, 2]


def test_a_caller_that_disconnects_while_it_waits_keeps_its_claim(
    make_queue: MakeQueue, work: Work
) -> None:
    clock = Clock()
    queue = make_queue(max_wait_seconds=5, clock=clock)  # for 4 callers, 3 of one site
    crowd = [Caller.at("192.0.2.1", str(number)) for number in range(4)]

    async def flow() -> None:
        tasks = queued(queue, work, crowd[:3])
        await work.started(1)
        clock.advance(1)
        queue.abandon(tasks[1])
        tasks += queued(queue, work, crowd[3:], first=3)
        await waiting(queue, 2)
        tasks += queued(queue, work, crowd[1:2], first=4)
        with pytest.raises(Overloaded):
            await tasks[3]
        work.may_end.set()
        await asyncio.gather(tasks[2], tasks[4])

    run(flow)
    assert work.begun == [0, 2, 4]


def test_abandoning_a_task_that_does_not_wait_in_the_queue_has_no_effect(
    make_queue: MakeQueue,
) -> None:
    async def flow() -> None:
        other = asyncio.create_task(asyncio.sleep(0, "done"))
        make_queue().abandon(other)
        assert await other == "done"

    run(flow)


def test_a_cancelled_task_stays_cancelled(make_queue: MakeQueue, work: Work) -> None:
    async def flow() -> None:
        _, cancelled = queued(make_queue(), work, [caller()] * 2)
        await work.started(1)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled

    run(flow)
    assert work.begun == [0]


def test_a_slot_granted_to_a_cancelled_task_goes_to_the_next(
    make_queue: MakeQueue, work: Work
) -> None:
    async def flow() -> None:
        queue = make_queue()
        async with queue.slot(caller()):
            cancelled, following, last = queued(queue, work, [caller(1), caller(2), caller(3)])
            await waiting(queue, 3)
            cancelled.cancel()
        # The slot was passed on before the cancelled task could act.
        following.cancel()
        work.may_end.set()
        assert await last == 2
        assert [
            type(error)
            for error in await asyncio.gather(cancelled, following, return_exceptions=True)
        ] == [asyncio.CancelledError] * 2
        assert (queue.running, queue.waiting) == (0, 0)

    run(flow)
    assert work.begun == [2]
