"""DATABASE_URL with several hosts, on real sockets before one Postgres."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from db.errors import Unavailable
from db.pool import Database
from db.route import Route
from tests.harness.pool_limits import LIMITS
from tests.harness.processes import free_port
from tests.harness.proxy import Proxy


@pytest.fixture
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each host the time that it may need for its first answer on a busy machine."""
    monkeypatch.setattr("db.attempts._ANSWER_SECONDS", 10.0)


@asynccontextmanager
async def proxies(dsn: str, count: int) -> AsyncIterator[list[Proxy]]:
    """Run proxies to one Postgres."""
    opened = [Proxy(dsn) for _ in range(count)]
    for proxy in opened:
        await proxy.open()
    try:
        yield opened
    finally:
        for proxy in opened:
            await proxy.close()


def url_of(*ports: int) -> str:
    return f"postgresql://userauth@{','.join(f'127.0.0.1:{port}' for port in ports)}/postgres"


async def port_of(database: Database) -> int | None:
    """Return the port that a connection leads to."""
    async with database.connection() as connection:
        await connection.fetch_one("SELECT 1")
    primary = database.route.primary
    return int(primary.port) if primary else None


@pytest.mark.usefixtures("_patience")
def test_hosts_that_refuse_or_have_no_address_are_passed(dsn: str) -> None:
    async def run() -> None:
        async with proxies(dsn, 1) as [proxy]:
            url = url_of(free_port(), proxy.port).replace("@", "@nosuch.invalid,")
            database = await Database.open(url, LIMITS)
            assert await port_of(database) == proxy.port
            await database.close()

    asyncio.run(run())


def test_a_silent_host_delays_the_first_connection_only(dsn: str) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with proxies(dsn, 1) as [proxy]:
                database = await Database.open(
                    url_of(silent.getsockname()[1], proxy.port), replace(LIMITS, pool_max=5)
                )
                async with database.connection(), database.connection(), database.connection():
                    assert await port_of(database) == proxy.port
                await database.close()
            silent.settimeout(0)
            with silent.accept()[0] as connection:
                # The one that was given up is closed.
                while connection.recv(1024):
                    pass
            with pytest.raises(BlockingIOError):
                silent.accept()

    asyncio.run(run())


def test_a_primary_that_needs_more_than_a_second_after_its_first_answer_is_reached(
    dsn: str,
) -> None:
    async def run() -> None:
        async with proxies(dsn, 1) as [proxy]:
            proxy.first_pause = 1.1
            limits = replace(LIMITS, acquire_timeout_seconds=40)
            database = await Database.open(url_of(free_port(), proxy.port), limits)
            assert await port_of(database) == proxy.port
            await database.close()

    asyncio.run(run())


def test_opening_a_connection_may_take_longer_than_a_query(dsn: str) -> None:
    async def run() -> None:
        async with proxies(dsn, 1) as [proxy]:
            proxy.first_pause = 1.1
            database = await Database.open(proxy.url, replace(LIMITS, query_timeout_seconds=1))
            await database.close()

    asyncio.run(run())


@pytest.mark.usefixtures("_patience")
def test_connections_to_a_host_end_when_another_is_found_to_be_the_primary(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with proxies(dsn, 2) as [first, second]:
            database = await Database.open(url_of(first.port, second.port), LIMITS)
            async with database.connection() as held:
                await first.refuse()
                # A second one is needed, and leads to the other host.
                assert await port_of(database) == second.port
                assert database.generation == 1
            assert held.closed
            await first.open()
            assert await port_of(database) == second.port
            assert database.generation == 1
            await database.close()
            expected = f"the primary is now 127.0.0.1 port {second.port}, and no longer 127.0.0.1"
            assert [expected in message for message in caplog.messages] == [True]

    asyncio.run(run())


@pytest.mark.usefixtures("_patience")
def test_each_connection_to_a_new_primary_that_is_opened_at_the_same_time_is_used(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The first one that is open discards those to the earlier primary."""

    async def run() -> None:
        async with proxies(dsn, 2) as [first, second]:
            limits = replace(LIMITS, pool_max=4)
            database = await Database.open(url_of(first.port, second.port), limits)
            async with database.connection():
                await first.refuse()
                ports = await asyncio.gather(*(port_of(database) for _ in range(3)))
            assert ports == [second.port] * 3
            assert database.generation == 1
            await database.close()
        caplog.clear()

    asyncio.run(run())


def test_the_error_has_the_reason_of_each_host() -> None:
    async def run() -> None:
        port = free_port()
        with pytest.raises(Unavailable) as raised:
            await Database.open(url_of(port).replace("@", "@nosuch.invalid,"), LIMITS)
        assert "the host name nosuch.invalid cannot be resolved" in str(raised.value)
        assert str(raised.value).endswith(f"; 127.0.0.1 port {port}: Connection refused")

    asyncio.run(run())


def test_the_name_of_a_host_is_kept_for_its_certificate() -> None:
    """The name is compared, and the address is connected to."""
    [host] = Route("postgresql://localhost:1/x?sslmode=verify-full").hosts
    assert replace(host, address="127.0.0.1").parameters["host"] == "localhost"
