"""An honest user who logs in every few seconds, during an attack that ignores Retry-After.

Run as the worker `python -m bench.load.contest`. The honest user obeys Retry-After and retries
until the login succeeds or its patience ends. The attackers send their next request at once.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.load.counting import (
    FAULT_PAUSE_SECONDS,
    OK,
    RETRY_STATUSES,
    CountingConnection,
    pause_after,
)
from bench.load.worker import run, running_worker

# The expected responses: an attack may use a correct password or a wrong one.
EXPECTED = {"200", "401", *map(str, RETRY_STATUSES)}
# An honest login without a response before its deadline: a failed login, but not a fault.
UNANSWERED = "no response in time"
INTERVAL_SECONDS = 2.0
PATIENCE_SECONDS = 10.0
# A rejected attacker sends its next request after this pause.
ATTACK_PAUSE_SECONDS = 0.005


@dataclass(frozen=True)
class ContestPlan:
    """The requests: one per honest login; those of the attack are repeated in a cycle."""

    port: int
    logins: list[str]
    attack: list[str]
    connections: int
    # How long the attack runs before the first honest login.
    lead_seconds: float


@dataclass(frozen=True)
class ContestResults:
    """The outcomes of both sides; times are in seconds."""

    # The durations of the logins that succeeded in time.
    successes: list[float] = field(default_factory=list)
    failures: int = 0
    honest_outcomes: dict[str, int] = field(default_factory=dict)
    attack_outcomes: dict[str, int] = field(default_factory=dict)
    attack_seconds: float = 0.0

    @property
    def percent(self) -> float:
        """Return the percentage of the honest logins that succeeded in time."""
        return 100 * len(self.successes) / (len(self.successes) + self.failures)

    @property
    def faults(self) -> dict[str, int]:
        """Return the outcomes that are unexpected on either side."""
        outcomes = Counter(self.honest_outcomes) + Counter(self.attack_outcomes)
        return {
            outcome: count
            for outcome, count in outcomes.items()
            if outcome not in {UNANSWERED, *EXPECTED}
        }


@contextmanager
def contest(plan: ContestPlan, name: str) -> Iterator[Callable[[], ContestResults]]:
    """Run the honest user and the attack; yield a function that waits for the results."""
    longest = plan.lead_seconds + len(plan.logins) * (PATIENCE_SECONDS + INTERVAL_SECONDS)
    with running_worker(__name__, plan, log=f"contest-{name}", timeout=longest + 60) as wait:
        yield lambda: ContestResults(**wait())


class _Contest:
    def __init__(self, plan: ContestPlan) -> None:
        self._plan = plan
        self._attack_requests = itertools.cycle([request.encode() for request in plan.attack])
        self._successes: list[float] = []
        self._honest: Counter[str] = Counter()
        self._attack: Counter[str] = Counter()

    async def run(self) -> ContestResults:
        plan, started = self._plan, time.perf_counter()
        attackers = [asyncio.create_task(self._attack_forever()) for _ in range(plan.connections)]
        await asyncio.sleep(plan.lead_seconds)
        await self._log_in_repeatedly()
        seconds = time.perf_counter() - started
        for task in attackers:
            task.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)
        failures = len(plan.logins) - len(self._successes)
        outcomes = dict(self._honest), dict(self._attack)
        return ContestResults(self._successes, failures, *outcomes, seconds)

    async def _attack_forever(self) -> None:
        connection = CountingConnection(self._plan.port, self._attack)
        while True:
            response = await connection.request(next(self._attack_requests))
            if response is None:
                await asyncio.sleep(FAULT_PAUSE_SECONDS)
            elif response.status in RETRY_STATUSES:
                await asyncio.sleep(ATTACK_PAUSE_SECONDS)

    async def _log_in_repeatedly(self) -> None:
        """Log in at intervals; a login starts only after the previous one has ended."""
        connection = CountingConnection(self._plan.port, self._honest)
        for request in self._plan.logins:
            started = time.perf_counter()
            if await self._log_in(connection, request.encode(), started + PATIENCE_SECONDS):
                self._successes.append(time.perf_counter() - started)
            await asyncio.sleep(max(0.0, started + INTERVAL_SECONDS - time.perf_counter()))
        connection.close()

    async def _log_in(
        self, connection: CountingConnection, request: bytes, deadline: float
    ) -> bool:
        while (remaining := deadline - time.perf_counter()) > 0:
            try:
                async with asyncio.timeout(remaining):
                    response = await connection.request(request)
            except TimeoutError:
                self._honest[UNANSWERED] += 1
                connection.close()
                return False
            if response is not None and response.status == OK:
                return True
            remaining = max(0.0, deadline - time.perf_counter())
            await asyncio.sleep(min(pause_after(response), remaining))
        return False


async def _work(plan: ContestPlan) -> ContestResults:
    return await _Contest(plan).run()


if __name__ == "__main__":
    run(ContestPlan, _work)
