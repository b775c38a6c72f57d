"""One run: the load, the restarts, and the reckoning at the end."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from soak.audit import audit_database, audit_requests
from soak.book import DOUBT_SECONDS
from soak.client import Client
from soak.cluster import Cluster
from soak.disturbances import Calendar
from soak.disturber import Disturber
from soak.fleet import Fleet
from soak.tally import Tally

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Users whose requests run side by side: so many members, and one in so many clients' places.
CROWD = 5
CROWD_SHARE = 5
# What the pool and the look-ups may still hold open when every client has gone.
DESCRIPTORS_LEFT = 20
# Twice what a thousand connections take.
MOST_MEMORY_KIB = 200 * 1024


@dataclass(frozen=True)
class Plan:
    """What was asked for."""

    minutes: float
    clients: int
    seed: int


class Session:
    """A run on servers that are up."""

    def __init__(self, plan: Plan, cluster: Cluster, fleet: Fleet, tally: Tally) -> None:
        self._plan = plan
        self._cluster = cluster
        self._fleet = fleet
        self._tally = tally
        self._calendar = Calendar()
        self._clients = list(self._make_clients())

    async def run(self) -> None:
        """Load, disturb and reckon; a signal cancels it."""
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            if task is not None:
                loop.add_signal_handler(number, task.cancel)
        watch = asyncio.create_task(self._fleet.watch())
        try:
            await self._load()
            await self._reckon()
        finally:
            watch.cancel()
            for client in self._clients:
                client.close()
        await self._check_descriptors()
        self._check_servers()

    def summary(self) -> Iterator[str]:
        """Yield what is printed of the run."""
        yield self._tally.table()
        events = Counter(entry.what for entry in self._calendar.disturbances)
        yield f"restarts: {', '.join(f'{what}: {count}' for what, count in sorted(events.items()))}"
        unknown = "; ".join(f"{why}: {count}" for why, count in sorted(self._tally.unknown.items()))
        yield f"unknown outcomes: {unknown or 'none'}"
        for server in self._fleet.servers:
            yield (
                f"server {server.number}: peak memory {server.peak_memory / 1024:.1f} MiB,"
                f" descriptors {server.first_descriptors} at its start,"
                f" {server.peak_descriptors} at most, {server.descriptors()} at the end"
            )

    def _make_clients(self) -> Iterator[Client]:
        left = self._plan.clients
        number = 0
        while left > 0:
            is_crowd = number % CROWD_SHARE == 0 and left >= CROWD
            members = CROWD if is_crowd else 1
            yield Client(
                number=number,
                members=members,
                fleet=self._fleet,
                calendar=self._calendar,
                tally=self._tally,
                choice=random.Random(f"{self._plan.seed} {number}"),
            )
            left -= members
            number += 1

    async def _load(self) -> None:
        until = time.monotonic() + self._plan.minutes * 60
        disturber = Disturber(self._cluster, self._fleet, self._calendar, self._tally)
        reviving = asyncio.create_task(disturber.revive())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(disturber.run(until))
                for client in self._clients:
                    group.create_task(client.run(until))
        finally:
            reviving.cancel()

    async def _reckon(self) -> None:
        """Compare everything twice: the requests in between narrow what was in doubt."""
        if any(client.book.is_in_doubt for client in self._clients):
            await asyncio.sleep(DOUBT_SECONDS + 1)
        for client in self._clients:
            await client.make([])
        books = [book for client in self._clients for book in client.books]
        audit_database(self._cluster.dsn, books, self._tally)
        await audit_requests(self._clients)
        audit_database(self._cluster.dsn, books, self._tally)

    async def _check_descriptors(self) -> None:
        await asyncio.sleep(1)
        for server in self._fleet.servers:
            more = server.descriptors() - server.first_descriptors
            if more > DESCRIPTORS_LEFT:
                self._tally.fault(f"server {server.number} holds {more} descriptors too many")

    def _check_servers(self) -> None:
        for server in self._fleet.servers:
            if server.peak_memory > MOST_MEMORY_KIB:
                self._tally.fault(f"server {server.number} took {server.peak_memory:,} KiB")
            code = server.death()
            if code is not None:
                self._tally.fault(f"server {server.number} ended with {code}: {server.log_end()}")
            for trace in server.traces():
                self._tally.fault(f"server {server.number} logged a trace: {trace}")
