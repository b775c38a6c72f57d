"""A run: the load, the restarts, and the checks at the end."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from soak.client import Client, make_clients
from soak.cluster import Cluster
from soak.disruptions import DisruptionLog
from soak.disruptor import Disruptor
from soak.final_check import (
    check_credentials,
    check_database,
    check_messages,
    check_servers,
)
from soak.fleet import Fleet
from soak.mail_client import PREFIX, MailClient
from soak.model import DOUBT_SECONDS
from soak.program import STOP_SIGNALS
from soak.relay import Mailboxes, interrupt
from soak.requester import Requester
from soak.tally import Tally
from tests.harness.smtp import SmtpServer

# One mail client for this many other clients.
MAIL_INTERVAL = 20
# The descriptors that the pool and the batch loaders may keep open when no client is connected.
MAX_EXTRA_DESCRIPTORS = 20


@dataclass(frozen=True)
class Plan:
    """The options of a run."""

    minutes: float
    clients: int
    seed: int


class Run:
    """A run on servers that are running."""

    def __init__(
        self, plan: Plan, cluster: Cluster, fleet: Fleet, relay: SmtpServer, tally: Tally
    ) -> None:
        self._plan = plan
        self._cluster = cluster
        self._fleet = fleet
        self._relay = relay
        self._tally = tally
        self._disruptions = DisruptionLog()
        self._mailboxes = Mailboxes(relay, PREFIX)
        self._clients = list(make_clients(plan.clients, plan.seed, self._requester, tally))
        self._mail_clients = list(self._make_mail_clients())
        self._all_clients: list[Client | MailClient] = [*self._clients, *self._mail_clients]

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
            for client in self._all_clients:
                client.close()
        await self._check_descriptors()
        check_servers(self._fleet, self._tally)

    def summary(self) -> Iterator[str]:
        """Yield the lines of the summary."""
        yield self._tally.table()
        events = Counter(entry.what for entry in self._disruptions.entries)
        yield f"restarts: {', '.join(f'{what}: {count}' for what, count in sorted(events.items()))}"
        unknown = "; ".join(f"{why}: {count}" for why, count in sorted(self._tally.unknown.items()))
        yield (
            f"{self._mailboxes.summary()}, {self._tally.late_messages} of them late;"
            f" {self._tally.deferred_messages:,} were deferred at the end;"
            f" the relay failed {self._tally.relay_outages} times"
        )
        yield f"unknown outcomes: {unknown or 'none'}"
        for server in self._fleet.servers:
            yield (
                f"server {server.number}: peak memory {server.peak_memory / 1024:.1f} MiB,"
                f" descriptors: {server.first_descriptors} at the start,"
                f" {server.peak_descriptors} at most, {server.descriptors()} at the end"
            )

    def _make_mail_clients(self) -> Iterator[MailClient]:
        for number in range(max(1, self._plan.clients // MAIL_INTERVAL)):
            generator = random.Random(f"{self._plan.seed} mail {number}")
            yield MailClient(
                number,
                requester=self._requester(f"soak-mail-{number}", generator),
                mailboxes=self._mailboxes,
                tally=self._tally,
                generator=generator,
            )

    def _requester(self, name: str, generator: random.Random) -> Requester:
        return Requester(
            name,
            fleet=self._fleet,
            disruptions=self._disruptions,
            tally=self._tally,
            generator=generator,
        )

    async def _load(self) -> None:
        until = time.monotonic() + self._plan.minutes * 60
        disruptor = Disruptor(self._cluster, self._fleet, self._disruptions, self._tally)
        reviving = asyncio.create_task(disruptor.revive())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(disruptor.run(until))
                group.create_task(interrupt(self._relay, until, self._tally))
                for client in self._all_clients:
                    group.create_task(client.run(until))
        finally:
            reviving.cancel()

    async def _check_state(self) -> None:
        """Check everything twice: the requests in between resolve doubts."""
        if any(client.model.is_in_doubt for client in self._clients):
            await asyncio.sleep(DOUBT_SECONDS + 1)
        await check_messages(self._cluster.dsn, self._mailboxes, self._tally)
        for client in self._clients:
            await client.make([])
        models = [model for client in self._clients for model in client.models]
        check_database(self._cluster.dsn, models, self._tally)
        await check_credentials(self._clients)
        for mail_client in self._mail_clients:
            await mail_client.check()
        check_database(self._cluster.dsn, models, self._tally)

    async def _check_descriptors(self) -> None:
        await asyncio.sleep(1)
        for server in self._fleet.servers:
            extra = server.descriptors() - server.first_descriptors
            if extra > MAX_EXTRA_DESCRIPTORS:
                self._tally.fault(
                    f"server {server.number} has {extra} more open descriptors than at its start"
                )
