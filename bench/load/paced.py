"""Requests at a constant rate, however slow the server is: an open loop.

Run as the worker `python -m bench.load.paced`. The latency of a request is measured from the time
at which it was due, not from when it could be sent: a stall of the server affects every request
that was due meanwhile.

The process raises its priority if permitted: otherwise hash threads on every core would delay the
client, and the measured latency would include its own delay.
"""

import asyncio
import os
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass

from bench.load.worker import run, running_worker
from tests.harness.http_connection import Connection

RATE = 100
CONNECTIONS = 64
GRACE_SECONDS = 30.0
NICENESS = -10
UNANSWERED = "no response"


@dataclass(frozen=True)
class PacedPlan:
    """The requests, which are sent in turn."""

    port: int
    requests: list[str]
    seconds: float
    rate: int = RATE


@dataclass(frozen=True)
class PacedResults:
    """The outcomes. Times are in milliseconds.

    ``latencies`` has one entry per request; without a response, it is the time until the client
    gave up. ``lateness`` is the delay with which the client sent each request.
    """

    latencies: list[float]
    lateness: list[float]
    outcomes: dict[str, int]
    raised_priority: bool

    @property
    def faults(self) -> dict[str, int]:
        return {name: count for name, count in self.outcomes.items() if name != "200"}


def send_paced(plan: PacedPlan, name: str) -> PacedResults:
    """Send requests at a constant rate."""
    timeout = plan.seconds + GRACE_SECONDS + 30
    with running_worker(__name__, plan, log=f"paced-{name}", timeout=timeout) as wait:
        return PacedResults(**wait())


class _Client:
    def __init__(self, plan: PacedPlan) -> None:
        self._plan = plan
        self._requests = [request.encode() for request in plan.requests]
        self._connections = [Connection(plan.port) for _ in range(CONNECTIONS)]
        # The longest idle connection is used first, so that none is idle for long.
        self._idle = deque(self._connections)
        self._due: deque[tuple[float, bytes]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.latencies: list[float] = []
        self.lateness: list[float] = []
        self.outcomes: Counter[str] = Counter()

    async def run(self) -> None:
        for connection in self._connections:
            await connection.open()
        await self._send_all()
        deadline = time.perf_counter() + GRACE_SECONDS
        while self._tasks and time.perf_counter() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - time.perf_counter())
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for due, _ in self._due:
            self._record(due, time.perf_counter(), UNANSWERED)

    async def _send_all(self) -> None:
        started = time.perf_counter() + 0.1
        for number in range(round(self._plan.seconds * self._plan.rate)):
            due = started + number / self._plan.rate
            while (remaining := due - time.perf_counter()) > 0:
                # uvloop's timers have millisecond resolution and may fire too early.
                await asyncio.sleep(max(remaining, 0.001))
            self.lateness.append((time.perf_counter() - due) * 1000)
            self._due.append((due, self._requests[number % len(self._requests)]))
            self._send_due()

    def _send_due(self) -> None:
        while self._due and self._idle:
            due, request = self._due.popleft()
            task = asyncio.create_task(self._send(self._idle.popleft(), due, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, connection: Connection, due: float, request: bytes) -> None:
        try:
            response = await connection.request(request)
        except OSError as error:
            self._record(due, time.perf_counter(), type(error).__name__)
        except asyncio.CancelledError:
            self._record(due, time.perf_counter(), UNANSWERED)
            raise
        else:
            self._record(due, response.received_at, str(response.status))
        self._idle.append(connection)
        self._send_due()

    def _record(self, due: float, at: float, outcome: str) -> None:
        self.latencies.append((at - due) * 1000)
        self.outcomes[outcome] += 1


async def _work(plan: PacedPlan) -> PacedResults:
    raised = False
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        raised = True
    client = _Client(plan)
    await client.run()
    return PacedResults(client.latencies, client.lateness, dict(client.outcomes), raised)


if __name__ == "__main__":
    run(PacedPlan, _work)
