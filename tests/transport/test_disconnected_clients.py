"""Clients that disconnect before their hash starts cost no hash."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from db.batch_loader import BatchLoader
from handlers.application import Application
from settings import Settings
from tests.harness.api import Api, basic
from tests.harness.blocked_hashes import BlockedHashes
from tests.harness.configuration import settings_with
from tests.harness.disconnecting import REQUEST, send_and_disconnect
from tests.harness.raw_http import connected, raw_request
from tests.harness.waiting import until


@pytest.fixture
def settings() -> Settings:
    """Allow one worker, so that a second hash waits."""
    return settings_with(PASSWORDS__WORKERS=1)


async def until_running(app: Application, running: int) -> None:
    await until(lambda: app.running <= running)


@asynccontextmanager
async def only_one_hash(api: Api, app: Application, hashes: BlockedHashes) -> AsyncIterator[None]:
    """Keep the worker busy with a login; meanwhile requests must end and cost no other hash."""
    await api.register()
    first = asyncio.create_task(api.log_in())
    await until(lambda: hashes.threads)
    yield
    await until_running(app, running=1)
    hashes.may_continue.set()
    assert (await first).status == 200
    assert len(hashes.threads) == 1


@pytest.mark.gen_test
async def test_clients_that_send_and_disconnect_cost_no_hash(
    api: Api, app: Application, hashes: BlockedHashes
) -> None:
    async with only_one_hash(api, app, hashes):
        for _ in range(20):
            await asyncio.to_thread(send_and_disconnect, api)


@pytest.mark.gen_test
async def test_clients_that_disconnect_while_sending_too_large_a_body_cost_no_hash(
    api: Api, app: Application, hashes: BlockedHashes
) -> None:
    async with only_one_hash(api, app, hashes):
        for _ in range(5):
            async with connected(api) as (_, writer):
                writer.write(
                    raw_request(
                        "PATCH",
                        "/api/user",
                        f"Authorization: {basic('susan@example.com', 'wrong password')}",
                        "Content-Type: application/json",
                        "Content-Length: 3000000",
                    )
                )
                await until(lambda: app.running >= 2)


@pytest.mark.gen_test
async def test_a_client_that_disconnects_during_the_lookup_costs_no_hash(
    api: Api, app: Application, hashes: BlockedHashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.register()
    hashes.may_continue.set()
    started, may_respond = asyncio.Event(), asyncio.Event()
    find = BatchLoader.find

    async def slow(self: BatchLoader[object], key: str) -> object:
        started.set()
        await may_respond.wait()
        answer: Awaitable[object] = find(self, key)
        return await answer

    monkeypatch.setattr(BatchLoader, "find", slow)
    address = urlsplit(api.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(REQUEST)
    await started.wait()
    writer.transport.abort()
    # The server runs on this loop, which notices the disconnect in one iteration.
    for _ in range(20):
        await asyncio.sleep(0.005)
    may_respond.set()
    await until_running(app, running=0)
    assert not hashes.threads
