"""The search for a new primary, while the known one is late with an answer."""

import asyncio
import socket
from dataclasses import replace

import pytest

from db.errors import Unavailable
from db.lookups import open_lookups
from db.pool import Database
from db.primary_search import PrimarySearch
from tests.harness.clock import Clock
from tests.harness.pool_limits import LIMITS
from tests.harness.proxy import Proxy


def test_one_search_runs_at_a_time_and_the_next_one_follows_after_a_pause() -> None:
    async def run() -> None:
        may_end = asyncio.Event()
        begun = 0

        async def search() -> None:
            nonlocal begun
            begun += 1
            await may_end.wait()
            raise Unavailable("no host has replaced the primary")

        async def begin() -> int:
            for _ in range(5):
                primary_search.begin()
                await asyncio.sleep(0)
            return begun

        clock = Clock()
        primary_search = PrimarySearch(search, clock)
        assert await begin() == 1
        may_end.set()
        await asyncio.sleep(0)
        assert await begin() == 1
        clock.advance(0.31)
        may_end.clear()
        assert await begin() == 2
        await primary_search.close()
        clock.advance(60)
        assert await begin() == 2

    asyncio.run(run())


@pytest.mark.parametrize("is_late", [False, True])
def test_another_host_is_connected_to_only_while_a_lookup_is_late(
    dsn: str, monkeypatch: pytest.MonkeyPatch, *, is_late: bool
) -> None:
    monkeypatch.setattr("db.batch_loader.LATE_SECONDS", 0.0 if is_late else 60.0)
    # Enough for the first answer of a host on a busy machine.
    monkeypatch.setattr("db.attempts._ANSWER_SECONDS", 10.0)

    async def run(other: socket.socket) -> None:
        proxy = Proxy(dsn)
        await proxy.open()
        url = proxy.url.replace("/postgres", f",127.0.0.1:{other.getsockname()[1]}/postgres")
        database = await Database.open(url, replace(LIMITS, query_timeout_seconds=60))
        lookups = open_lookups(database)
        assert await lookups.users_by_email.find("a") is None
        proxy.flows.clear()
        finding = lookups.users_by_email.find("a")
        if is_late:
            connection, _ = await asyncio.to_thread(other.accept)
            connection.close()
        else:
            await asyncio.sleep(0.3)  # three looks at the time
        proxy.flows.set()
        assert await finding is None
        await lookups.close()
        await database.close()
        await proxy.close()

    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(20)
        asyncio.run(run(other))
        other.settimeout(0)
        if not is_late:
            with pytest.raises(BlockingIOError):
                other.accept()
