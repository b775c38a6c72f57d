"""Clients that log in again as soon as they have a response: a closed loop.

Run as the worker `python -m bench.load.logins`. After a rejection with 503, a client obeys
Retry-After.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.load.counting import OK, CountingConnection, pause_after
from bench.load.rates import completion_rate
from bench.load.worker import run, running_worker
from tests.harness.http_connection import Response

OVERLOADED = 503
GRACE_SECONDS = 15.0


@dataclass(frozen=True)
class LoginPlan:
    """The requests, which are shared by all clients, and how long they log in."""

    port: int
    requests: list[str]
    clients: int
    seconds: float


@dataclass(frozen=True)
class LoginResults:
    """The outcomes of the logins; all times are in seconds.

    ``accepted`` and ``rejected`` are durations. ``completed`` are the times at which accepted
    logins completed. ``unfinished`` is how long the remaining ones had waited at the end.
    """

    accepted: list[float] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)
    completed: list[float] = field(default_factory=list)
    unfinished: list[float] = field(default_factory=list)
    # Any other outcome and its count.
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Return the accepted logins per second."""
        return completion_rate(self.completed)


@contextmanager
def logging_in(plan: LoginPlan, name: str) -> Iterator[Callable[[], LoginResults]]:
    """Run clients that log in; yield a function that waits for the results."""
    timeout = plan.seconds + GRACE_SECONDS + 30
    with running_worker(__name__, plan, log=f"logins-{name}", timeout=timeout) as wait:
        yield lambda: LoginResults(**wait())


class _Clients:
    def __init__(self, plan: LoginPlan) -> None:
        self._plan = plan
        self._requests = itertools.cycle([request.encode() for request in plan.requests])
        self._deadline = time.perf_counter() + plan.seconds
        self._started: dict[int, float] = {}
        self._outcomes: Counter[str] = Counter()
        self._results = LoginResults()

    async def run(self) -> LoginResults:
        results = self._results
        tasks = [asyncio.create_task(self._client(n)) for n in range(self._plan.clients)]
        _, late = await asyncio.wait(tasks, timeout=self._plan.seconds + GRACE_SECONDS)
        now = time.perf_counter()
        results.unfinished.extend(now - started for started in self._started.values())
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        expected = {str(OK), str(OVERLOADED)}
        results.faults.update(
            {name: count for name, count in self._outcomes.items() if name not in expected}
        )
        return results

    async def _client(self, number: int) -> None:
        connection = CountingConnection(self._plan.port, self._outcomes)
        while time.perf_counter() < self._deadline:
            self._started[number] = time.perf_counter()
            response = await connection.request(next(self._requests))
            self._record(response, self._started.pop(number))
            remaining = max(0.0, self._deadline - time.perf_counter())
            await asyncio.sleep(min(pause_after(response), remaining))
        connection.close()

    def _record(self, response: Response | None, started: float) -> None:
        if response is None:
            return
        if response.status == OK:
            self._results.accepted.append(response.received_at - started)
            if response.received_at < self._deadline:
                self._results.completed.append(response.received_at)
        elif response.status == OVERLOADED and response.retry_after is not None:
            self._results.rejected.append(response.received_at - started)


async def _work(plan: LoginPlan) -> LoginResults:
    return await _Clients(plan).run()


if __name__ == "__main__":
    run(LoginPlan, _work)
