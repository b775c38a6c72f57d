"""Outages of Postgres, with a real server process connected over TCP."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.harness.api import Answer, Api, basic, bearer
from tests.harness.processes import running_server
from tests.harness.proxy import Proxy

# Longer than what takes no wait takes on a busy machine.
LONG_SECONDS = 12.0
RECOVERY_SECONDS = 20.0


def behind_a_proxy(
    dsn: str, log: Path, use: Callable[[Api, Proxy], Awaitable[None]], *, limit_seconds: float
) -> str:
    """Run a server whose connection to Postgres can be interrupted; return its log."""

    async def run() -> str:
        proxy = Proxy(dsn)
        await proxy.open()
        variables = {
            "USERAUTH_DATABASE__ACQUIRE_TIMEOUT_SECONDS": str(limit_seconds),
            "USERAUTH_DATABASE__QUERY_TIMEOUT_SECONDS": str(limit_seconds),
            "DATABASE_URL": proxy.url,
        }
        starting = running_server(variables, log)
        server = await asyncio.to_thread(starting.__enter__)
        try:
            api = Api(server.url)
            await use(api, proxy)
            api.close()
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)
            await proxy.close()
        return server.written()

    return asyncio.run(run())


async def ask_everything(api: Api, token: str) -> list[Answer]:
    """Send one request of each kind that needs the database, and 40 with a token, concurrently."""
    requests = [
        api.request("GET", "/api/user", authorization=bearer(token)),
        api.request("GET", "/api/user", authorization=basic("susan@example.com", "password")),
        api.request("GET", "/health/ready"),
        api.register("other@example.com"),
    ]
    more = [api.request("GET", "/api/user", authorization=bearer(token)) for _ in range(40)]
    return list(await asyncio.gather(*requests, *more))


async def expect_unavailable(api: Api, token: str, *, within: float) -> None:
    started = time.monotonic()
    answers = await ask_everything(api, token)
    assert {answer.status for answer in answers} == {503}
    assert time.monotonic() - started < within
    assert (await api.request("GET", "/health/live")).status == 200


async def expect_recovery(api: Api, token: str, *, within: float) -> None:
    deadline = time.monotonic() + within
    while (await api.request("GET", "/health/ready")).status != 200:
        assert time.monotonic() < deadline
    while (await api.request("GET", "/api/user", authorization=bearer(token))).status != 200:
        assert time.monotonic() < deadline
    assert (await api.log_in()).status == 200


def test_refused_connections_to_postgres_are_503_immediately_until_it_recovers(
    dsn: str, tmp_path: Path
) -> None:
    async def use(api: Api, proxy: Proxy) -> None:
        token = await api.registered_token()
        for _ in range(3):
            await proxy.close()
            await expect_unavailable(api, token, within=LONG_SECONDS)
            await expect_unavailable(api, token, within=LONG_SECONDS)
            await proxy.open()
            await expect_recovery(api, token, within=RECOVERY_SECONDS)

    written = behind_a_proxy(dsn, tmp_path / "log", use, limit_seconds=LONG_SECONDS)
    assert "Traceback" not in written
    assert "database-unavailable" in written, written[-3000:]


def test_an_unresponsive_postgres_is_503_in_time_until_it_recovers(
    dsn: str, tmp_path: Path
) -> None:
    async def use(api: Api, proxy: Proxy) -> None:
        token = await api.registered_token()
        for _ in range(2):
            proxy.flows.clear()
            await expect_unavailable(api, token, within=LONG_SECONDS)
            await expect_unavailable(api, token, within=LONG_SECONDS)
            proxy.flows.set()
            await expect_recovery(api, token, within=RECOVERY_SECONDS)

    written = behind_a_proxy(dsn, tmp_path / "log", use, limit_seconds=0.5)
    assert "Traceback" not in written
