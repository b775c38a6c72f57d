"""A run: the load, the restarts, and the checks at the end."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from soak.client import Client
from soak.cluster import Cluster
from soak.disruptions import DisruptionLog
from soak.disruptor import Disruptor
from soak.final_check import check_credentials, check_database
from soak.fleet import Fleet
from soak.model import DOUBT_SECONDS
from soak.tally import Tally

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# One user in SHARED_INTERVAL has concurrent callers.
CALLERS = 5
SHARED_INTERVAL = 5
# What the pool and the batch loaders may keep open when no client is connected.
MAX_EXTRA_DESCRIPTORS = 20
# Twice the memory at a thousand connections.
MAX_MEMORY_KIB = 200 * 1024


@dataclass(frozen=True)
class Plan:
    """The options of a run."""

    minutes: float
    clients: int
    seed: int


class Run:
    """A run on servers that are running."""

    def __init__(self, plan: Plan, cluster: Cluster, fleet: Fleet, tally: Tally) -> None:
        self._plan = plan
        self._cluster = cluster
        self._fleet = fleet
        self._tally = tally
        self._disruptions = DisruptionLog()
        self._clients = list(self._make_clients())

    async def run(self) -> None:
        """Run the load, the restarts and the checks; a signal cancels it."""
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            if task is not None:
                loop.add_signal_handler(number, task.cancel)
        watch = asyncio.create_task(self._fleet.watch())
        try:
            await self._load()
            await self._check_state()
        finally:
            watch.cancel()
            for client in self._clients:
                client.close()
        await self._check_descriptors()
        self._check_servers()

    def summary(self) -> Iterator[str]:
        """Yield the lines of the summary."""
        yield self._tally.table()
        events = Counter(entry.what for entry in self._disruptions.entries)
        yield f"restarts: {', '.join(f'{what}: {count}' for what, count in sorted(events.items()))}"
        unknown = "; ".join(f"{why}: {count}" for why, count in sorted(self._tally.unknown.items()))
        yield f"unknown outcomes: {unknown or 'none'}"
        for server in self._fleet.servers:
            yield (
                f"server {server.number}: peak memory {server.peak_memory / 1024:.1f} MiB,"
                f" descriptors: {server.first_descriptors} at the start,"
                f" {server.peak_descriptors} at most, {server.descriptors()} at the end"
            )

    def _make_clients(self) -> Iterator[Client]:
        remaining = self._plan.clients
        number = 0
        while remaining > 0:
            is_shared = number % SHARED_INTERVAL == 0 and remaining >= CALLERS
            callers = CALLERS if is_shared else 1
            yield Client(
                number=number,
                callers=callers,
                fleet=self._fleet,
                disruptions=self._disruptions,
                tally=self._tally,
                generator=random.Random(f"{self._plan.seed} {number}"),
            )
            remaining -= callers
            number += 1

    async def _load(self) -> None:
        until = time.monotonic() + self._plan.minutes * 60
        disruptor = Disruptor(self._cluster, self._fleet, self._disruptions, self._tally)
        reviving = asyncio.create_task(disruptor.revive())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(disruptor.run(until))
                for client in self._clients:
                    group.create_task(client.run(until))
        finally:
            reviving.cancel()

    async def _check_state(self) -> None:
        """Check everything twice: the requests in between resolve doubts."""
        if any(client.model.is_in_doubt for client in self._clients):
            await asyncio.sleep(DOUBT_SECONDS + 1)
        for client in self._clients:
            await client.make([])
        models = [model for client in self._clients for model in client.models]
        check_database(self._cluster.dsn, models, self._tally)
        await check_credentials(self._clients)
        check_database(self._cluster.dsn, models, self._tally)

    async def _check_descriptors(self) -> None:
        await asyncio.sleep(1)
        for server in self._fleet.servers:
            extra = server.descriptors() - server.first_descriptors
            if extra > MAX_EXTRA_DESCRIPTORS:
                self._tally.fault(
                    f"server {server.number} has {extra} more open descriptors than at its start"
                )

    def _check_servers(self) -> None:
        for server in self._fleet.servers:
            if server.peak_memory > MAX_MEMORY_KIB:
                self._tally.fault(f"server {server.number} used {server.peak_memory:,} KiB")
            code = server.exit_code()
            if code is not None:
                self._tally.fault(
                    f"server {server.number} exited with {code}: {server.last_lines()}"
                )
            for trace in server.traces():
                self._tally.fault(f"server {server.number} logged a traceback: {trace}")
