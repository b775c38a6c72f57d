"""The queue for hashes."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest

from handlers.application import Application
from rules.errors import CallerDisconnected, DatabaseUnavailable, Overloaded, RowLocked
from rules.hash_queue import HashQueue, Slot
from rules.turns import Caller
from settings import Settings
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.blocked_hashes import BlockedHashes
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings, settings_with
from tests.harness.raw_http import connected, raw_request

SECONDS = 5.0
EMAIL = "susan@example.com"
MakeQueue = Callable[..., HashQueue]


class Work:
    """A slow function, which runs until the test lets it end, and records each call."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.begun: list[int] = []
        self.threads: set[int] = set()
        self.at_a_time = 0
        self._lock = threading.Lock()

    def run(self, number: int) -> int:
        with self._lock:
            self.begun.append(number)
            self.threads.add(threading.get_ident())
            self.at_a_time += 1
        self.may_end.wait(SECONDS)
        with self._lock:
            self.at_a_time -= 1
        return number

    async def started(self, number: int) -> None:
        await until(lambda: len(self.begun) >= number)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():
            await asyncio.sleep(0.001)


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.may_end.set()


@pytest.fixture
def make_queue(work: Work) -> Iterator[MakeQueue]:
    queues: list[HashQueue] = []

    def make(**changes: Any) -> HashQueue:
        defaults = {
            "workers": 1,
            "max_wait_seconds": 100,
            "seconds_each": 1,
            "max_per_account": 1000,
        }
        queues.append(HashQueue(**{**defaults, **changes}))
        return queues[-1]

    yield make
    work.may_end.set()
    for queue in queues:
        queue.close()


def run(flow: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(flow(), 2 * SECONDS))


def caller(number: int = 0, *, is_known: bool = False) -> Caller:
    """Return a caller in a network of its own."""
    return Caller.at(f"192.0.2.{number}", f"account {number}", is_known=is_known)


async def in_slot(queue: HashQueue, function: Callable[[], Any], who: Caller | None = None) -> Any:
    async with queue.slot(who or caller()) as slot:
        return await slot.run(function)


def queued(
    queue: HashQueue, work: Work, callers: Sequence[Caller], first: int = 0
) -> "list[asyncio.Task[Any]]":
    """Start callers in this order; each runs its own number, counted from ``first``."""
    return [
        asyncio.create_task(in_slot(queue, partial(work.run, number), who))
        for number, who in enumerate(callers, first)
    ]


async def waiting(queue: HashQueue, number: int) -> None:
    await until(lambda: queue.waiting == number)


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


def test_callers_of_one_account_run_in_the_order_of_arrival(
    make_queue: MakeQueue, work: Work
) -> None:
    async def flow() -> None:
        tasks = queued(make_queue(), work, [caller()] * 12)
        work.may_end.set()
        await asyncio.gather(*tasks)

    run(flow)
    assert work.begun == list(range(12))


def ran(make_queue: MakeQueue, work: Work, callers: Sequence[Caller]) -> list[int]:
    """Return the order in which callers run that wait behind one."""

    async def flow() -> None:
        tasks = queued(make_queue(), work, [caller(0), *callers])
        await work.started(1)
        work.may_end.set()
        await asyncio.gather(*tasks)

    run(flow)
    return [number - 1 for number in work.begun[1:]]


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


async def outcomes(tasks: "Sequence[asyncio.Task[Any]]") -> list[bool]:
    """Return which tasks were admitted."""
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, int | Overloaded) for each in ended), ended
    return [isinstance(each, int) for each in ended]


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
    queue = make_queue(max_wait_seconds=1, seconds_each=100)

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
    queue = make_queue(max_wait_seconds=0.5, seconds_each=0)

    async def flow() -> None:
        for seconds in (0.0, 0.0, 1.0):
            await in_slot(queue, partial(time.sleep, seconds))
        work.may_end.set()
        assert await asyncio.gather(*queued(queue, work, [caller(1), caller(2)])) == [0, 1]

    run(flow)


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


@pytest.fixture
def requested_slots(monkeypatch: pytest.MonkeyPatch) -> list[Caller]:
    """Record the caller of each slot that is requested."""
    requested: list[Caller] = []
    slot = HashQueue.slot

    def recorded(queue: HashQueue, who: Caller) -> AbstractAsyncContextManager[Slot]:
        requested.append(who)
        return slot(queue, who)

    monkeypatch.setattr(HashQueue, "slot", recorded)
    return requested


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """Allow one worker, so that a second hash has to wait."""
    return settings_with(PASSWORDS__WORKERS=1, **getattr(request, "param", {}))


@pytest.mark.gen_test
@override_settings(PASSWORDS__MAX_WAIT_SECONDS=0.00001)
async def test_a_flood_of_logins_is_503_while_tokens_are_served(
    api: Api, hashes: BlockedHashes
) -> None:
    hashes.may_continue.set()
    token = await api.registered_token(EMAIL)
    hashes.may_continue.clear()
    hashes.threads.clear()
    first = asyncio.create_task(api.log_in(EMAIL))
    await until(lambda: bool(hashes.threads))
    for answer in await asyncio.gather(*(api.log_in(EMAIL) for _ in range(20))):
        assert (answer.status, answer.problem) == (503, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
    rejected = await api.register("peter@example.com")
    assert (rejected.status, rejected.problem) == (503, "overloaded")
    for authorization in (bearer(token), basic(token)):
        answer = await api.request("GET", "/api/user", authorization=authorization)
        assert answer.status == 200
    assert not first.done()
    hashes.may_continue.set()
    assert (await first).status == 200
    assert (await api.log_in(EMAIL)).status == 200


@pytest.mark.gen_test
async def test_nothing_is_hashed_for_a_caller_that_disconnected(
    app: Application,
    api: Api,
    hashes: BlockedHashes,
    requested_slots: list[Caller],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert (await api.register(EMAIL)).status == 201
    first = asyncio.create_task(api.log_in(EMAIL))
    await until(lambda: bool(hashes.threads))
    requests = len(requested_slots)
    async with connected(api) as (_, writer):
        writer.write(
            raw_request("GET", "/api/user/login", f"Authorization: {basic(EMAIL, PASSWORD)}")
        )
        await until(lambda: len(requested_slots) > requests)
    await until(lambda: app.running == 1)
    hashes.may_continue.set()
    assert (await first).status == 200
    assert (await api.log_in(EMAIL)).status == 200
    assert len(hashes.threads) == 2
    assert threading.main_thread() not in hashes.threads
    assert not caplog.records
