"""Restarts under load, one after the other, evenly over the run."""

import asyncio
import itertools
import signal
import time

from soak.cluster import Cluster
from soak.disturbances import Calendar
from soak.fleet import Fleet, ServerProcess
from soak.tally import Tally

LEAST_PAUSE_SECONDS = 12.0
ROUND = ("term 0", "fast", "kill 1", "term 1", "immediate", "kill 0")


class Disturber:
    """Restarts servers and Postgres."""

    def __init__(self, cluster: Cluster, fleet: Fleet, calendar: Calendar, tally: Tally) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._calendar = calendar
        self._tally = tally
        self._turns = [asyncio.Lock() for _ in fleet.servers]

    async def run(self, until: float) -> None:
        """Disturb until shortly before the end, every kind at least once in two minutes."""
        pause = max(LEAST_PAUSE_SECONDS, (until - time.monotonic()) / (len(ROUND) + 1))
        pause = min(pause, 2 * LEAST_PAUSE_SECONDS)
        at = time.monotonic()
        for what in itertools.cycle(ROUND):
            at += pause
            if at > until - LEAST_PAUSE_SECONDS / 2:
                return
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            await self._disturb(what)

    async def revive(self) -> None:
        """Start a server again that ended by itself, or by somebody else's hand: a fault."""
        while True:
            for server in self._fleet.servers:
                async with self._turns[server.number]:
                    await self._revive(server)
            await asyncio.sleep(0.05)

    async def _revive(self, server: ServerProcess) -> None:
        code = server.death()
        if code is None:
            return
        said = server.log_end()
        with self._calendar.disturbed(f"the end of server {server.number}", server.number):
            self._tally.fault(f"server {server.number} ended with {code}, untold: {said}")
            await self._restart(server, signal.SIGKILL)

    async def _disturb(self, what: str) -> None:
        kind, _, number = what.partition(" ")
        began = time.monotonic()
        if number:
            server = self._fleet.servers[int(number)]
            name = f"SIG{kind.upper()}"
            async with self._turns[server.number]:
                with self._calendar.disturbed(f"{name} of server {number}", server.number):
                    await self._restart(server, signal.Signals[name])
        else:
            with self._calendar.disturbed(f"the {kind} restart of Postgres"):
                await asyncio.to_thread(self._cluster.restart, kind)
        print(
            f"{began - self._tally.began:7.2f} s: {what}, {time.monotonic() - began:.1f} s;"
            f" {self._tally.requests:,} requests so far",
            flush=True,
        )

    async def _restart(self, server: ServerProcess, number: signal.Signals) -> None:
        code = await asyncio.to_thread(server.end, number)
        if number is signal.SIGTERM and code != 0:
            self._tally.fault(f"server {server.number} ended with {code} after SIGTERM")
        await asyncio.to_thread(server.start)
