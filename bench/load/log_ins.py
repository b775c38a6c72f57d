"""Clients that log in, each again as soon as it has its answer: a closed loop.

Run as `python -m bench.load.log_ins`, its plan as JSON on standard input, its findings as JSON
on standard output. A client that is refused with 503 waits as long as Retry-After says.
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
from bench.load.rates import completion_rate
from bench.processes import finish, started

REFUSED = 503
GRACE_SECONDS = 15.0
FAULT_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class LogInPlan:
    """Who logs in, and for how long; the requests are taken in turn by all clients."""

    port: int
    requests: list[str]
    clients: int
    seconds: float


@dataclass(frozen=True)
class LogInFindings:
    """What became of the log-ins; all times are in seconds.

    Those let in and refused are told by how long they took; ``ended`` is when each of those let
    in had its answer. ``unfinished`` tells how long the others had waited at the end.
    """

    let_in: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    unfinished: list[float] = field(default_factory=list)
    # Anything else, and how often: a 503 without Retry-After among it.
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Return how many were let in a second."""
        return completion_rate(self.ended)


@contextmanager
def logging_in(plan: LogInPlan, name: str) -> Iterator[Callable[[], LogInFindings]]:
    """Let clients log in from a process of its own; yield what waits for its findings."""
    log = f"log-ins-{name}"
    with started([sys.executable, "-m", __name__], log=log) as process:
        if process.stdin is not None:
            process.stdin.write(json.dumps(asdict(plan)))
            process.stdin.close()
            # So that nobody writes there again.
            process.stdin = None

        def wait() -> LogInFindings:
            printed = finish(process, seconds=plan.seconds + GRACE_SECONDS + 30, log=log)
            return LogInFindings(**json.loads(printed))

        yield wait


class _Clients:
    """All clients, and what became of them."""

    def __init__(self, plan: LogInPlan) -> None:
        self._plan = plan
        self._requests = itertools.cycle([request.encode() for request in plan.requests])
        self._deadline = time.perf_counter() + plan.seconds
        self._since: dict[int, float] = {}
        self._faults: Counter[str] = Counter()
        self.findings = LogInFindings()

    async def run(self) -> LogInFindings:
        tasks = [asyncio.create_task(self._client(n)) for n in range(self._plan.clients)]
        _, late = await asyncio.wait(tasks, timeout=self._plan.seconds + GRACE_SECONDS)
        now = time.perf_counter()
        self.findings.unfinished.extend(now - since for since in self._since.values())
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.findings.faults.update(self._faults)
        return self.findings

    async def _client(self, number: int) -> None:
        connection = Connection(self._plan.port)
        while time.perf_counter() < self._deadline:
            self._since[number] = time.perf_counter()
            try:
                answer = await connection.ask(next(self._requests))
            except OSError as error:
                self._faults[type(error).__name__] += 1
                pause = FAULT_PAUSE_SECONDS
            else:
                pause = self._record(answer, answer.at - self._since[number])
            del self._since[number]
            await asyncio.sleep(min(pause, max(0.0, self._deadline - time.perf_counter())))
        connection.close()

    def _record(self, answer: Answer, seconds: float) -> float:
        """Write an answer down; return how long its client waits before it asks again."""
        if answer.status == GOOD:
            self.findings.let_in.append(seconds)
            if answer.at < self._deadline:
                self.findings.ended.append(answer.at)
        elif answer.status == REFUSED and answer.retry_after is not None:
            self.findings.refused.append(seconds)
            return answer.retry_after
        else:
            self._faults[str(answer.status)] += 1
            return FAULT_PAUSE_SECONDS
        return 0.0


async def _main(plan: LogInPlan) -> LogInFindings:
    return await _Clients(plan).run()


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_main(LogInPlan(**json.load(sys.stdin)))))))
