"""A run: the load, the events one after another, and the checks at the end."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import psutil
import psycopg2

from soak.client import make_clients
from soak.cluster import SoakError
from soak.disruptions import GRACE_SECONDS, DisruptionLog
from soak.failover.events import Event
from soak.failover.first_write import FirstWrite, wait_for_write
from soak.failover.guard import Guard
from soak.failover.node import Node
from soak.failover.patroni import PatroniCluster
from soak.final_check import check_credentials, check_database, check_servers
from soak.fleet import Fleet
from soak.program import STOP_SIGNALS
from soak.requester import Requester
from soak.tally import Tally

# A commit that waits for a standby takes effect or is lost once its node is a standby again.
DOUBT_SECONDS = 60.0
# How long a node stays frozen or down after another one took over.
REPLACED_SECONDS = 4.0
CALM_SECONDS = 6.0


@dataclass(frozen=True)
class Plan:
    """The options of a run."""

    events: Sequence[Event]
    clients: int
    seed: int


class FailoverRun:
    """A run on servers that are running."""

    def __init__(self, plan: Plan, cluster: PatroniCluster, fleet: Fleet, tally: Tally) -> None:
        self._plan = plan
        self._cluster = cluster
        self._fleet = fleet
        self._tally = tally
        self._disruptions = DisruptionLog()
        self._guard = Guard(fleet, self._disruptions, tally, random.Random(plan.seed))
        self._clients = list(
            make_clients(plan.clients, plan.seed, self._requester, tally, DOUBT_SECONDS)
        )
        self._figures: list[str] = []

    async def run(self) -> None:
        """Run the load, the events and the checks; a signal cancels it."""
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            if task is not None:
                loop.add_signal_handler(number, task.cancel)
        try:
            await self._guard.open()
            await self._load()
            await self._check_state()
        finally:
            for client in self._clients:
                client.close()
        check_servers(self._fleet, self._tally)

    def summary(self) -> Iterator[str]:
        """Yield the lines of the summary."""
        yield self._tally.table()
        yield from self._figures
        yield f"guard: {self._guard.revoked:,} tokens revoked, {self._guard.unknown:,} unknown"
        for (server, kind, status), count in sorted(self._guard.checked.items()):
            yield f"guard, server {server}, {kind} tokens: {status}: {count:,}"

    def _requester(self, name: str, generator: random.Random) -> Requester:
        return Requester(
            name,
            fleet=self._fleet,
            disruptions=self._disruptions,
            tally=self._tally,
            generator=generator,
        )

    async def _load(self) -> None:
        """Run the clients until the events are over."""
        guarding = asyncio.create_task(self._guard.run())
        calling = [asyncio.create_task(client.run(float("inf"))) for client in self._clients]
        events = asyncio.create_task(self._events())
        try:
            # A client that fails ends the run.
            await asyncio.wait([guarding, events, *calling], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for client in self._clients:
                client.stop()
            guarding.cancel()
            await asyncio.wait([guarding])
        if not events.done():
            events.cancel()
        # The calls in progress end before their connections are closed, also if an event failed.
        await asyncio.wait([events, *calling])
        await asyncio.gather(events, *calling)
        await self._guard.close()

    async def _events(self) -> None:
        await asyncio.sleep(CALM_SECONDS)
        for event in self._plan.events:
            await self._run_event(event)
            await asyncio.sleep(CALM_SECONDS)

    async def _run_event(self, event: Event) -> None:
        old = await asyncio.to_thread(self._cluster.wait_until_healthy)
        token = self._guard.take_token()
        started = time.monotonic()
        with self._disruptions.disruption(event.name):
            first, reached = await self._strike(event, old)
            await asyncio.to_thread(self._revoke, first.node, token)
            self._guard.record_revocation(token)
        await asyncio.sleep(REPLACED_SECONDS)
        await asyncio.to_thread(event.undo, self._cluster, old, reached)
        await asyncio.to_thread(self._cluster.wait_until_healthy)
        self._report(event, old, started, first)

    async def _strike(self, event: Event, old: Node) -> tuple[FirstWrite, list[psutil.Process]]:
        striking = asyncio.create_task(asyncio.to_thread(event.strike, self._cluster, old))
        if event.may_stay:
            await striking
        others = [node for node in self._cluster.nodes if event.may_stay or node is not old]
        first = await asyncio.to_thread(wait_for_write, self._cluster, others)
        return first, await striking

    def _revoke(self, node: Node, token: str) -> None:
        """Revoke a token on the new primary, without a server."""
        dsn, token_id = self._cluster.superuser_dsn(node), token.partition(".")[0]
        with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "UPDATE userauth.tokens SET revoked_at = clock_timestamp() WHERE id = %s",
                (token_id,),
            )
            connection.commit()
            if cursor.rowcount != 1:
                raise SoakError(f"The new primary {node.name} lacks the token {token_id}.")

    def _report(self, event: Event, old: Node, started: float, first: FirstWrite) -> None:
        line = (
            f"{started - self._tally.started:7.2f} s: {event.name} of {old.name},"
            f" {first.node.name} took a write after {first.at - started:.1f} s"
        )
        for server in self._fleet.servers:
            answers = [answer for answer in self._guard.answers if answer.server == server.number]
            ends = [one.ended for one in answers if one.is_certain and one.started >= first.at]
            success = min(ends, default=float("inf")) - first.at
            refused = [one for one in answers if not one.is_certain and one.ended >= started]
            last = max((one.ended for one in refused), default=first.at) - first.at
            line += (
                f"; server {server.number}: first success {success:.2f} s after it,"
                f" {len(refused):,} checks got 503, the last {last:.2f} s after it"
            )
            if success > GRACE_SECONDS:
                self._tally.fault("late recovery", f"{event.name}, server {server.number}: {line}")
        self._guard.answers.clear()
        self._figures.append(line)
        print(line, flush=True)

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
