"""Where hashes wait for a core."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import bcrypt
import pytest

from auth.errors import ClientGone, DatabaseUnavailable, Overloaded
from auth.hashing_lane import First, HashingLane
from handlers.application import Application
from settings import Settings
from tests.api import PASSWORD, Api, basic, bearer
from tests.configuration import laid_over, settings_with
from tests.handlers.raw_http import connected, raw_request

SECONDS = 5.0
EMAIL = "susan@example.com"
MakeLane = Callable[..., HashingLane]


class Work:
    """A slow function: runs until it is told to end, and tells how often it began."""

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
def make_lane(work: Work) -> Iterator[MakeLane]:
    lanes: list[HashingLane] = []

    def make(**changes: Any) -> HashingLane:
        defaults = {"workers": 1, "max_wait_seconds": 5, "seconds_each": 1}
        lanes.append(HashingLane(**{**defaults, **changes}))
        return lanes[-1]

    yield make
    work.may_end.set()
    for lane in lanes:
        lane.close()


def run(flow: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(flow(), 2 * SECONDS))


def queued(lane: HashingLane, work: Work, count: int) -> "list[asyncio.Task[int]]":
    return [
        asyncio.create_task(lane.run(lambda number=number: work.run(number)))  # type: ignore[misc]
        for number in range(count)
    ]


@pytest.mark.parametrize("workers", [1, 3])
def test_so_many_run_at_a_time_and_no_more(make_lane: MakeLane, work: Work, workers: int) -> None:
    async def flow() -> None:
        tasks = queued(make_lane(workers=workers), work, 12)
        await work.started(workers)
        assert work.at_a_time == workers
        work.may_end.set()
        assert await asyncio.gather(*tasks) == list(range(12))

    run(flow)
    assert len(work.threads) == workers


def test_they_run_in_the_order_in_which_they_came(make_lane: MakeLane, work: Work) -> None:
    async def flow() -> None:
        tasks = queued(make_lane(), work, 12)
        work.may_end.set()
        await asyncio.gather(*tasks)

    run(flow)
    assert work.begun == list(range(12))


def test_where_one_finds_no_database_those_who_wait_do_not_try_one_after_the_other(
    make_lane: MakeLane, work: Work
) -> None:
    asked: list[None] = []

    async def first() -> None:
        asked.append(None)
        await asyncio.sleep(0)
        raise DatabaseUnavailable

    async def flow() -> None:
        lane = make_lane()
        hashes = [lane.run(lambda: work.run(0), first) for _ in range(12)]
        for outcome in await asyncio.gather(*hashes, return_exceptions=True):
            assert isinstance(outcome, DatabaseUnavailable)
        # The lane goes on.
        work.may_end.set()
        assert await lane.run(lambda: work.run(1)) == 1

    run(flow)
    assert (len(asked), work.begun) == (1, [1])


@pytest.mark.parametrize(("workers", "places", "retry_after"), [(1, 2, "3"), (2, 4, "3")])
def test_whoever_would_wait_too_long_is_told_how_long_and_let_in_afterwards(
    make_lane: MakeLane, workers: int, places: int, retry_after: str
) -> None:
    """With 1 s each, the third of one worker ends after 3 s, the fifth of two after 2.5 s."""
    lane = make_lane(workers=workers, max_wait_seconds=2.9, seconds_each=1)
    with ExitStack() as held:
        for _ in range(places - 1):
            held.enter_context(lane.place())
        with lane.place(), pytest.raises(Overloaded) as refusal, lane.place():
            pass
        assert dict(refusal.value.headers)["Retry-After"] == retry_after
        with lane.place():
            pass


def test_an_idle_lane_lets_in_however_slow_it_is(make_lane: MakeLane) -> None:
    lane = make_lane(workers=2, max_wait_seconds=0.01, seconds_each=100)
    with lane.place(), lane.place(), pytest.raises(Overloaded), lane.place():
        pass


def test_a_place_is_given_back_by_whoever_fails_in_it(make_lane: MakeLane) -> None:
    lane = make_lane(max_wait_seconds=0.01)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="on purpose"), lane.place():
            raise RuntimeError("on purpose")


def test_the_guess_gives_way_to_what_was_measured(make_lane: MakeLane) -> None:
    lane = make_lane(max_wait_seconds=1, seconds_each=100)

    async def flow() -> None:
        with lane.place():
            await lane.run(lambda: None)
            # The median of 100 s and next to nothing is 50 s.
            with pytest.raises(Overloaded), lane.place():
                pass
            await lane.run(lambda: None)
            with lane.place():
                pass

    run(flow)


def test_one_hash_that_starved_does_not_close_the_lane(make_lane: MakeLane) -> None:
    lane = make_lane(max_wait_seconds=0.1, seconds_each=0)

    async def flow() -> None:
        for seconds in (0.0, 0.0, 0.3):
            await lane.run(partial(time.sleep, seconds))
        with lane.place(), lane.place():
            pass

    run(flow)


def test_whoever_waited_longer_than_foreseen_is_not_hashed_any_more(make_lane: MakeLane) -> None:
    lane = make_lane(workers=1, max_wait_seconds=0.05, seconds_each=0)
    ran: list[str] = []

    async def flow() -> None:
        with lane.place(), lane.place():
            first = asyncio.create_task(lane.run(partial(time.sleep, 0.2)))
            second = asyncio.create_task(lane.run(partial(ran.append, "second")))
            await first
            with pytest.raises(Overloaded):
                await second

    run(flow)
    assert ran == []


def test_what_has_not_begun_is_dropped_and_what_runs_goes_on(
    make_lane: MakeLane, work: Work
) -> None:
    lane = make_lane()

    async def flow() -> None:
        running, dropped, last = queued(lane, work, 3)
        await work.started(1)
        lane.abandon(dropped)
        lane.abandon(running)
        with pytest.raises(ClientGone):
            await dropped
        work.may_end.set()
        assert await last == 2

    run(flow)
    assert work.begun == [0, 2]


def test_a_task_that_waits_for_nothing_here_is_left_alone(make_lane: MakeLane) -> None:
    async def flow() -> None:
        other = asyncio.create_task(asyncio.sleep(0, "done"))
        make_lane().abandon(other)
        assert await other == "done"

    run(flow)


def test_a_task_that_is_cancelled_stays_cancelled(make_lane: MakeLane, work: Work) -> None:
    async def flow() -> None:
        _, waiting = queued(make_lane(), work, 2)
        await work.started(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(flow)
    assert work.begun == [0]


def test_workers_step_back_and_the_loop_does_not(make_lane: MakeLane) -> None:
    def look() -> tuple[int, int]:
        number = threading.get_native_id()
        return number, os.getpriority(os.PRIO_PROCESS, number)

    async def flow() -> None:
        before = look()
        worker, niceness = await make_lane().run(look)
        assert worker != before[0]
        # Elsewhere a thread has no niceness of its own.
        assert niceness == (19 if sys.platform == "linux" else before[1])
        assert look() == before

    run(flow)


class Check:
    """bcrypt's check, which waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go_on = threading.Event()
        self.asked = 0
        self.threads: list[threading.Thread] = []
        self._check = bcrypt.checkpw
        monkeypatch.setattr("auth.passwords.bcrypt.checkpw", self._wait)
        run = HashingLane.run

        def counted(
            lane: HashingLane, function: Callable[[], Any], first: First | None = None
        ) -> Awaitable[Any]:
            self.asked += 1
            return run(lane, function, first)

        monkeypatch.setattr(HashingLane, "run", counted)

    def _wait(self, password: bytes, stored: bytes) -> bool:
        self.threads.append(threading.current_thread())
        self.may_go_on.wait(SECONDS)
        return self._check(password, stored)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Iterator[Check]:
    check = Check(monkeypatch)
    yield check
    check.may_go_on.set()


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """Allow one worker, so that a second hash has to wait."""
    return settings_with(PASSWORDS__WORKERS=1, **getattr(request, "param", {}))


@pytest.mark.gen_test
@laid_over(PASSWORDS__MAX_WAIT_SECONDS=0.00001)
async def test_a_flood_of_log_ins_is_503_while_tokens_are_served(api: Api, check: Check) -> None:
    check.may_go_on.set()
    token = await api.registered_token(EMAIL)
    check.may_go_on.clear()
    check.threads.clear()
    first = asyncio.create_task(api.log_in(EMAIL))
    await until(lambda: bool(check.threads))
    for answer in await asyncio.gather(*(api.log_in(EMAIL) for _ in range(20))):
        assert (answer.status, answer.problem) == (503, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
    refused = await api.register("peter@example.com")
    assert (refused.status, refused.problem) == (503, "overloaded")
    for authorization in (bearer(token), basic(token)):
        answer = await api.request("GET", "/api/user", authorization=authorization)
        assert answer.status == 200
    assert not first.done()
    check.may_go_on.set()
    assert (await first).status == 200
    assert (await api.log_in(EMAIL)).status == 200


@pytest.mark.gen_test
async def test_nothing_is_hashed_for_a_client_that_hung_up(
    app: Application, api: Api, check: Check, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await api.register(EMAIL)).status == 201
    first = asyncio.create_task(api.log_in(EMAIL))
    await until(lambda: bool(check.threads))
    asked = check.asked
    async with connected(api) as (_, writer):
        writer.write(
            raw_request("GET", "/api/user/login", f"Authorization: {basic(EMAIL, PASSWORD)}")
        )
        await until(lambda: check.asked > asked)
    await until(lambda: app.running == 1)
    check.may_go_on.set()
    assert (await first).status == 200
    assert (await api.log_in(EMAIL)).status == 200
    assert len(check.threads) == 2
    assert threading.main_thread() not in check.threads
    assert not caplog.records
