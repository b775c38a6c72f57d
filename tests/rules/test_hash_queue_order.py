"""The order in which the queue for hashes serves callers, and their shares of it."""

import asyncio

import pytest

from rules.errors import Overloaded
from rules.turns import Caller
from tests.harness.hash_queue import (
    MakeQueue,
    Work,
    caller,
    in_slot,
    outcomes,
    queued,
    ran,
    run,
)
from tests.harness.waiting import until


def test_callers_of_one_account_run_in_the_order_of_arrival(
    make_queue: MakeQueue, work: Work
) -> None:
    async def flow() -> None:
        tasks = queued(make_queue(), work, [caller()] * 12)
        work.may_end.set()
        await asyncio.gather(*tasks)

    run(flow)
    assert work.begun == list(range(12))


def test_networks_take_turns_however_many_callers_of_one_wait(
    make_queue: MakeQueue, work: Work
) -> None:
    crowd = [caller(1)] * 4
    assert ran(make_queue, work, [*crowd, caller(2), caller(3)]) == [0, 4, 5, 1, 2, 3]


def test_the_networks_of_one_48_share_one_turn(make_queue: MakeQueue, work: Work) -> None:
    crowd = [Caller.at(f"2001:db8:1:{number}::1", str(number)) for number in range(4)]
    honest = Caller.at("2001:db8:2::1", "susan")
    assert ran(make_queue, work, [*crowd, honest]) == [0, 4, 1, 2, 3]


def test_accounts_of_one_network_take_turns(make_queue: MakeQueue, work: Work) -> None:
    crowd = [Caller.at("192.0.2.1", "a crowd")] * 3
    susan = Caller.at("192.0.2.1", "susan")
    assert ran(make_queue, work, [*crowd, susan]) == [0, 3, 1, 2]


def test_known_callers_get_every_other_slot(make_queue: MakeQueue, work: Work) -> None:
    unknown = [caller(number) for number in range(1, 5)]
    known = [caller(number, is_known=True) for number in range(5, 7)]
    assert ran(make_queue, work, [*unknown, *known]) == [4, 0, 5, 1, 2, 3]


def test_one_account_at_one_network_has_a_limited_number_of_callers(
    make_queue: MakeQueue, work: Work
) -> None:
    queue = make_queue(max_per_account=3)

    async def flow() -> None:
        tasks = queued(queue, work, [caller(1)] * 3)
        await work.started(1)
        with pytest.raises(Overloaded):
            await in_slot(queue, lambda: None, caller(1))
        elsewhere = Caller.at("192.0.2.2", "account 1")
        tasks += queued(queue, work, [caller(2), elsewhere], first=3)
        work.may_end.set()
        await asyncio.gather(*tasks)
        assert await in_slot(queue, lambda: "again", caller(1)) == "again"

    run(flow)
    assert sorted(work.begun) == [0, 1, 2, 3, 4]


def test_one_site_holds_at_most_three_quarters_of_the_queue(
    make_queue: MakeQueue, work: Work
) -> None:
    queue = make_queue(max_wait_seconds=10)  # for 8 callers of 1 s each

    async def flow() -> None:
        crowd = [Caller.at("192.0.2.1", str(number)) for number in range(7)]
        tasks = queued(queue, work, crowd[:6])
        await work.started(1)
        with pytest.raises(Overloaded):
            await in_slot(queue, lambda: None, crowd[6])
        tasks += queued(queue, work, [caller(2), caller(3)], first=6)
        work.may_end.set()
        await asyncio.gather(*tasks)

    run(flow)
    assert len(work.begun) == 8


def test_in_a_full_queue_the_largest_site_is_displaced(make_queue: MakeQueue, work: Work) -> None:
    queue = make_queue(max_wait_seconds=5)  # for 4 callers

    async def flow() -> None:
        crowd = [Caller.at("192.0.2.1", str(number)) for number in range(3)]
        tasks = queued(queue, work, [*crowd, caller(2)])
        await work.started(1)
        # The last callers of the largest site are displaced, until no site has more than another.
        tasks += queued(queue, work, [caller(3), caller(4), caller(5)], first=4)
        await until(lambda: tasks[1].done() and tasks[2].done() and tasks[6].done())
        work.may_end.set()
        assert await outcomes(tasks) == [True, False, False, True, True, True, False]

    run(flow)
    assert queue.rejected == 3


def test_a_displaced_caller_stops_counting_for_its_site_at_once(
    make_queue: MakeQueue, work: Work
) -> None:
    queue = make_queue(max_wait_seconds=5)  # for 4 callers

    async def flow() -> None:
        sites = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"]
        crowds = [Caller.at(site, str(number)) for number, site in enumerate(sites)]
        tasks = queued(queue, work, crowds)
        await work.started(1)
        # Both arrive before a displaced task runs again.
        tasks += queued(queue, work, [caller(3), caller(4)], first=4)
        await until(lambda: sum(task.done() for task in tasks) == 2)
        work.may_end.set()
        assert await outcomes(tasks) == [True, False, True, False, True, True]

    run(flow)


def test_in_a_full_queue_half_is_reserved_for_known_callers_and_half_for_others(
    make_queue: MakeQueue, work: Work
) -> None:
    queue = make_queue(max_wait_seconds=5)  # for 4 callers

    async def flow() -> None:
        unknown = [caller(number) for number in range(4)]
        tasks = queued(queue, work, unknown)
        await work.started(1)
        known = [caller(number, is_known=True) for number in range(4, 7)]
        tasks += queued(queue, work, known, first=4)
        await until(tasks[6].done)
        work.may_end.set()
        assert await outcomes(tasks) == [True, True, False, False, True, True, False]

    run(flow)
