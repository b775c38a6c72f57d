"""Requests at a constant rate, whatever the server does: an open loop.

Run as `python -m bench.load.paced`, its plan as JSON on standard input, its findings as JSON on
standard output. The latency of a request counts from the moment at which it was due, not from
when it could be sent: a server that stalls is charged for all who came meanwhile.

The process runs at a raised priority where that is permitted: hashing threads on every core
would otherwise keep the client waiting for a core, and its clock would blame the server.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import asdict, dataclass

import uvloop

from bench.load.connection import Connection
from bench.processes import run_bounded

RATE = 100
CONNECTIONS = 64
GRACE_SECONDS = 30.0
NICENESS = -10


@dataclass(frozen=True)
class PacedPlan:
    """What to send; the requests are taken in turn."""

    port: int
    requests: list[str]
    seconds: float
    rate: int = RATE


@dataclass(frozen=True)
class PacedFindings:
    """What came back. Times are in milliseconds.

    ``latencies`` has one entry a request; where no answer came, it is the time until the
    client gave up. ``lateness`` is by how much each request was sent too late by the client.
    """

    latencies: list[float]
    lateness: list[float]
    statuses: dict[str, int]
    raised_priority: bool

    @property
    def faults(self) -> dict[str, int]:
        return {status: count for status, count in self.statuses.items() if status != "200"}


def send_paced(plan: PacedPlan, name: str) -> PacedFindings:
    """Send requests at a constant rate from a process of its own."""
    printed = run_bounded(
        [sys.executable, "-m", __name__],
        seconds=plan.seconds + GRACE_SECONDS + 30,
        log=f"paced-{name}",
        given=json.dumps(asdict(plan)),
    )
    return PacedFindings(**json.loads(printed))


class _Client:
    def __init__(self, plan: PacedPlan) -> None:
        self._plan = plan
        self._requests = [request.encode() for request in plan.requests]
        self._connections = [Connection(plan.port) for _ in range(CONNECTIONS)]
        # The one that was idle longest goes first, so that none is idle for long.
        self._idle = deque(self._connections)
        self._due: deque[tuple[float, bytes]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.latencies: list[float] = []
        self.lateness: list[float] = []
        self.statuses: Counter[str] = Counter()

    async def run(self) -> None:
        for connection in self._connections:
            await connection.open()
        count = round(self._plan.seconds * self._plan.rate)
        begun = time.perf_counter() + 0.1
        for number in range(count):
            due = begun + number / self._plan.rate
            while (left := due - time.perf_counter()) > 0:
                # uvloop counts in milliseconds and may wake too early: rather late than before.
                await asyncio.sleep(max(left, 0.001))
            self.lateness.append((time.perf_counter() - due) * 1000)
            self._due.append((due, self._requests[number % len(self._requests)]))
            self._serve()
        deadline = time.perf_counter() + GRACE_SECONDS
        while self._tasks and time.perf_counter() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - time.perf_counter())
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for due, _ in self._due:
            self._record(due, time.perf_counter(), "no answer")

    def _serve(self) -> None:
        while self._due and self._idle:
            due, request = self._due.popleft()
            task = asyncio.create_task(self._ask(self._idle.popleft(), due, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, connection: Connection, due: float, request: bytes) -> None:
        try:
            answer = await connection.ask(request)
        except OSError as error:
            self._record(due, time.perf_counter(), type(error).__name__)
        except asyncio.CancelledError:
            self._record(due, time.perf_counter(), "no answer")
            raise
        else:
            self._record(due, answer.at, str(answer.status))
        self._idle.append(connection)
        self._serve()

    def _record(self, due: float, at: float, status: str) -> None:
        self.latencies.append((at - due) * 1000)
        self.statuses[status] += 1


async def _main(plan: PacedPlan) -> PacedFindings:
    raised = False
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        raised = True
    client = _Client(plan)
    await client.run()
    return PacedFindings(client.latencies, client.lateness, dict(client.statuses), raised)


if __name__ == "__main__":
    findings = uvloop.run(_main(PacedPlan(**json.load(sys.stdin))))
    print(json.dumps(asdict(findings)))
