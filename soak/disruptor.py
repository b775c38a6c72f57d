"""Restarts under load, one at a time, evenly spread over the run."""

import asyncio
import itertools
import signal
import time

from soak.cluster import Cluster
from soak.disruptions import DisruptionLog
from soak.fleet import Fleet, ServerProcess
from soak.tally import Tally

MIN_PAUSE_SECONDS = 12.0
ROUND = ("term 0", "fast", "kill 1", "term 1", "immediate", "kill 0")


class Disruptor:
    """Restarts servers and Postgres."""

    def __init__(
        self, cluster: Cluster, fleet: Fleet, disruptions: DisruptionLog, tally: Tally
    ) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._disruptions = disruptions
        self._tally = tally
        self._locks = [asyncio.Lock() for _ in fleet.servers]

    async def run(self, until: float) -> None:
        """Restart until shortly before the end; each kind of restart occurs within two minutes."""
        pause = max(MIN_PAUSE_SECONDS, (until - time.monotonic()) / (len(ROUND) + 1))
        pause = min(pause, 2 * MIN_PAUSE_SECONDS)
        at = time.monotonic()
        for what in itertools.cycle(ROUND):
            at += pause
            if at > until - MIN_PAUSE_SECONDS / 2:
                return
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            await self._disrupt(what)

    async def revive(self) -> None:
        """Restart a server that exited on its own, which is a fault."""
        while True:
            for server in self._fleet.servers:
                async with self._locks[server.number]:
                    await self._revive(server)
            await asyncio.sleep(0.05)

    async def _revive(self, server: ServerProcess) -> None:
        code = server.exit_code()
        if code is None:
            return
        log = server.last_lines()
        with self._disruptions.disruption(f"the exit of server {server.number}", server.number):
            self._tally.fault(f"server {server.number} exited on its own with {code}: {log}")
            await self._restart(server, signal.SIGKILL)

    async def _disrupt(self, what: str) -> None:
        kind, _, number = what.partition(" ")
        started = time.monotonic()
        if number:
            server = self._fleet.servers[int(number)]
            name = f"SIG{kind.upper()}"
            async with self._locks[server.number]:
                with self._disruptions.disruption(f"{name} of server {number}", server.number):
                    await self._restart(server, signal.Signals[name])
        else:
            with self._disruptions.disruption(f"the {kind} restart of Postgres"):
                await asyncio.to_thread(self._cluster.restart, kind)
        print(
            f"{started - self._tally.started:7.2f} s: {what}, {time.monotonic() - started:.1f} s;"
            f" {self._tally.requests:,} requests so far",
            flush=True,
        )

    async def _restart(self, server: ServerProcess, number: signal.Signals) -> None:
        code = await asyncio.to_thread(server.stop, number)
        if number is signal.SIGTERM and code != 0:
            self._tally.fault(f"server {server.number} exited with {code} after SIGTERM")
        await asyncio.to_thread(server.start)
