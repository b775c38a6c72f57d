"""An honest user who logs in every few seconds, beside a crowd that heeds nothing.

Run as `python -m bench.load.contest`, its plan as JSON on standard input, its findings as JSON on
standard output. The honest user waits as long as Retry-After says and tries again until the
log-in succeeds or its patience is over; the crowd asks again at once.
"""

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import uvloop

from bench.load.connection import GOOD, Answer, Connection
from bench.processes import finish, started

WAIT_STATUSES = {429, 503}
# What the crowd may be answered: a right password is accepted, a wrong one is not, or there were
# too many.
CROWD_STATUSES = {200, 401, *WAIT_STATUSES}
# An honest log-in whose patience ended before its answer came: a failure, no fault.
UNANSWERED = "no answer in time"
INTERVAL_SECONDS = 2.0
PATIENCE_SECONDS = 10.0
# A refused connection of the crowd asks again after this.
CROWD_PAUSE_SECONDS = 0.005
FAULT_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class ContestPlan:
    """What is sent: by the honest user one request each time, by the crowd in turn."""

    port: int
    log_ins: list[str]
    crowd: list[str]
    connections: int
    # How long the crowd is alone at first.
    lead_seconds: float


@dataclass(frozen=True)
class ContestFindings:
    """What became of both; times are in seconds."""

    # How long each log-in took that succeeded in time.
    successes: list[float] = field(default_factory=list)
    failures: int = 0
    honest_statuses: dict[str, int] = field(default_factory=dict)
    crowd_statuses: dict[str, int] = field(default_factory=dict)
    crowd_seconds: float = 0.0

    @property
    def percent(self) -> float:
        """Return how many of 100 honest log-ins succeeded in time."""
        return 100 * len(self.successes) / (len(self.successes) + self.failures)

    @property
    def faults(self) -> dict[str, int]:
        """Return what neither side should have been answered."""
        expected = {UNANSWERED, *(str(status) for status in CROWD_STATUSES)}
        answers = Counter(self.honest_statuses) + Counter(self.crowd_statuses)
        return {status: count for status, count in answers.items() if status not in expected}


@contextmanager
def contest(plan: ContestPlan, name: str) -> Iterator[Callable[[], ContestFindings]]:
    """Run the honest user and the crowd in a process; yield what waits for the findings."""
    log = f"contest-{name}"
    with started([sys.executable, "-m", __name__], log=log) as process:
        if process.stdin is not None:
            process.stdin.write(json.dumps(asdict(plan)))
            process.stdin.close()
            # So that nobody writes there again.
            process.stdin = None

        def wait() -> ContestFindings:
            longest = plan.lead_seconds + len(plan.log_ins) * (PATIENCE_SECONDS + INTERVAL_SECONDS)
            printed = finish(process, seconds=longest + 60, log=log)
            return ContestFindings(**json.loads(printed))

        yield wait


class _Contest:
    def __init__(self, plan: ContestPlan) -> None:
        self._plan = plan
        self._crowd_requests = itertools.cycle([request.encode() for request in plan.crowd])
        self._successes: list[float] = []
        self._honest: Counter[str] = Counter()
        self._crowd: Counter[str] = Counter()

    async def run(self) -> ContestFindings:
        plan, began = self._plan, time.perf_counter()
        crowd = [asyncio.create_task(self._attack()) for _ in range(plan.connections)]
        await asyncio.sleep(plan.lead_seconds)
        await self._log_in_all()
        seconds = time.perf_counter() - began
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        failures = len(plan.log_ins) - len(self._successes)
        statuses = dict(self._honest), dict(self._crowd)
        return ContestFindings(self._successes, failures, *statuses, seconds)

    async def _attack(self) -> None:
        connection = Connection(self._plan.port)
        while True:
            answer = await _ask(connection, next(self._crowd_requests), self._crowd)
            if answer is None:
                await asyncio.sleep(FAULT_PAUSE_SECONDS)
            elif answer.status in WAIT_STATUSES:
                await asyncio.sleep(CROWD_PAUSE_SECONDS)

    async def _log_in_all(self) -> None:
        """Log in every few seconds; the next one does not begin before the last one ended."""
        connection = Connection(self._plan.port)
        for request in self._plan.log_ins:
            began = time.perf_counter()
            if await self._log_in(connection, request.encode(), began + PATIENCE_SECONDS):
                self._successes.append(time.perf_counter() - began)
            await asyncio.sleep(max(0.0, began + INTERVAL_SECONDS - time.perf_counter()))
        connection.close()

    async def _log_in(self, connection: Connection, request: bytes, deadline: float) -> bool:
        while (left := deadline - time.perf_counter()) > 0:
            try:
                async with asyncio.timeout(left):
                    answer = await _ask(connection, request, self._honest)
            except TimeoutError:
                self._honest[UNANSWERED] += 1
                connection.close()
                return False
            if answer is not None and answer.status == GOOD:
                return True
            pause = FAULT_PAUSE_SECONDS
            if answer is not None and answer.retry_after is not None:
                pause = answer.retry_after
            await asyncio.sleep(min(pause, max(0.0, deadline - time.perf_counter())))
        return False


async def _ask(connection: Connection, request: bytes, statuses: Counter[str]) -> Answer | None:
    try:
        answer = await connection.ask(request)
    except OSError as error:
        statuses[type(error).__name__] += 1
        return None
    statuses[str(answer.status)] += 1
    return answer


async def _main(plan: ContestPlan) -> ContestFindings:
    return await _Contest(plan).run()


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_main(ContestPlan(**json.load(sys.stdin)))))))
