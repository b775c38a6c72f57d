"""Turns at the hash queue among the accounts of one network."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable
from heapq import heappop, heappush
from itertools import count, pairwise
from typing import Any

import pytest

from rules.errors import Overloaded
from rules.hash_queue import HashQueue
from rules.turns import Caller
from tests.harness.clock import Clock

SECONDS_EACH = 0.35
WORKERS = 2
# How often the tasks run before the clock moves: each of them reaches its next wait.
LOOPS = 3
# A user's pause between attempts, and that of a program that ignores Retry-After.
PAUSE, SHORT_PAUSE = 2.0, 0.5
# Each of the greedy accounts logged in by then.
LEAD_SECONDS = 12.0
SECONDS = 35.0
GREEDY = 60
ADDRESS = "2001:db8:0:1::1"


class Simulation:
    """Callers at one queue, with a clock that jumps to the next event."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.queue = HashQueue(
            workers=WORKERS, max_wait_seconds=5, seconds_each=SECONDS_EACH, clock=self.clock
        )
        self.logins: Counter[str] = Counter()
        # Which attempts of the user succeeded.
        self.attempts: list[bool] = []
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._timer_count = 0

    def run(self, *callers: Coroutine[Any, Any, None]) -> None:
        asyncio.run(self._run(callers))
        self.queue.close()

    async def _run(self, callers: Iterable[Coroutine[Any, Any, None]]) -> None:
        tasks = [asyncio.create_task(caller) for caller in callers]
        end = self.clock() + SECONDS
        while self.clock() < end:
            for _ in range(LOOPS):
                await asyncio.sleep(0)
            time, _, timer = heappop(self._timers)
            self.clock.advance(time - self.clock())
            timer.set_result(None)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in outcomes), outcomes

    async def sleep(self, seconds: float) -> None:
        timer = asyncio.get_running_loop().create_future()
        self._timer_count += 1
        heappush(self._timers, (self.clock() + seconds, self._timer_count, timer))
        await timer

    async def log_in(self, caller: Caller) -> int:
        """Log in once; return 0, or when to retry."""
        try:
            async with self.queue.slot(caller):
                await self.sleep(SECONDS_EACH)
        except Overloaded as rejection:
            return rejection.retry_after_seconds
        self.logins[caller.account] += 1
        return 0

    async def greedy(self, caller: Caller) -> None:
        """Log in again and again, without respect for Retry-After."""
        while True:
            await self.log_in(caller)
            await self.sleep(SHORT_PAUSE)

    async def inventing(self, name: str) -> None:
        """Log in with another account each time, without respect for Retry-After."""
        for number in count():
            await self.log_in(Caller.at(ADDRESS, f"{name}-{number}"))
            await self.sleep(SHORT_PAUSE)

    async def user(self, caller: Caller, *, honors_retry_after: bool = False) -> None:
        """Log in again and again after the others began, and record each attempt."""
        await self.sleep(LEAD_SECONDS)
        while True:
            retry_after_seconds = await self.log_in(caller)
            self.attempts.append(retry_after_seconds == 0)
            await self.sleep(honors_retry_after * retry_after_seconds or PAUSE)


@pytest.fixture
def simulation() -> Simulation:
    return Simulation()


def crowd(simulation: Simulation) -> list[Coroutine[Any, Any, None]]:
    """Return programs that log in with correct passwords, at the user's IP address."""
    callers = [Caller.at(ADDRESS, str(number), is_known=True) for number in range(GREEDY)]
    return [simulation.greedy(caller) for caller in callers]


def test_a_user_gets_a_fair_share_beside_greedy_accounts_of_the_same_network(
    simulation: Simulation,
) -> None:
    user = Caller.at(ADDRESS, "susan", is_known=True)
    simulation.run(*crowd(simulation), simulation.user(user))
    assert simulation.attempts[0]
    seconds_for_all = (GREEDY + 1) * SECONDS_EACH / WORKERS
    assert simulation.logins["susan"] >= (SECONDS - LEAD_SECONDS) // seconds_for_all
    logins = [simulation.logins[str(number)] for number in range(GREEDY)]
    assert max(logins) - min(logins) <= 1


def test_an_attempt_after_retry_after_succeeds_beside_callers_that_ignore_it(
    simulation: Simulation,
) -> None:
    user = Caller.at(ADDRESS, "susan", is_known=True)
    simulation.run(*crowd(simulation), simulation.user(user, honors_retry_after=True))
    pairs = list(pairwise(simulation.attempts))
    assert (False, True) in pairs
    assert (False, False) not in pairs


def test_a_user_in_a_new_network_is_admitted_beside_known_accounts_of_that_network(
    simulation: Simulation,
) -> None:
    simulation.run(*crowd(simulation), simulation.user(Caller.at(ADDRESS, "susan")))
    assert all(simulation.attempts)


@pytest.mark.parametrize(
    ("user", "attempts"),
    [
        (Caller.at(ADDRESS, "susan"), 2),
        (Caller.at(ADDRESS, "susan", is_known=True), 1),
        (Caller.at("2001:db8:0:2::1", "susan"), 1),
        (Caller.at("192.0.2.2", "susan"), 1),
    ],
    ids=["a new user", "a known user", "another network of the site", "another site"],
)
def test_a_flood_of_invented_accounts_delays_a_user_of_that_network_by_one_attempt(
    simulation: Simulation, user: Caller, attempts: int
) -> None:
    flood = [simulation.inventing(str(number)) for number in range(GREEDY // 2)]
    simulation.run(*flood, simulation.user(user))
    assert simulation.attempts.index(True) < attempts
    # After a login as well, unless the user is new in that network.
    assert all(simulation.attempts) is (attempts == 1)


def test_retry_after_is_no_more_than_two_maximum_waits() -> None:
    simulation = Simulation()
    waits: list[int] = []

    async def crowd(number: int) -> None:
        for attempt in count():
            await simulation.log_in(Caller.at(ADDRESS, f"{number} {attempt}", is_known=True))
            await simulation.sleep(SHORT_PAUSE)

    async def user() -> None:
        # After the first login, all others have waited longer.
        while True:
            waits.append(await simulation.log_in(Caller.at(ADDRESS, "user", is_known=True)))
            await simulation.sleep(SHORT_PAUSE)

    simulation.run(user(), *(crowd(number) for number in range(GREEDY)))
    assert 5 < max(waits) <= 10
