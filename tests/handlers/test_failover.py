"""A failover: no token that was revoked on the new primary is valid anywhere, and service resumes.

The server connects to one address, which leads to the old primary, and later to the new one. Until
then nothing keeps it from the old primary, as if DATABASE_URL named that.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from tests.harness.api import Api, bearer
from tests.harness.configuration import override_settings
from tests.harness.replication import Node, Replicated, replicated
from tests.harness.switch import Switch
from tests.harness.waiting import until

REVOKED, KEPT = "revoked@example.com", "kept@example.com"
REVOKE = """
UPDATE tokens SET revoked_at = now()
WHERE user_id = (SELECT id FROM users WHERE email = 'revoked@example.com')
"""
SETTINGS = {
    "DATABASE__URL": "postgresql://userauth@127.0.0.1/userauth",
    # With shorter limits, requests fail on a busy machine.
    "DATABASE__ACQUIRE_TIMEOUT_SECONDS": 2,
    "DATABASE__QUERY_TIMEOUT_SECONDS": 2,
}
acknowledged_reads = override_settings(**SETTINGS, DATABASE__READS="acknowledged")
both_hosts = pytest.mark.parametrize("hosts", ["both"])
primary_reads = override_settings(**SETTINGS, DATABASE__READS="primary")


@pytest.fixture
def nodes(stopped_cluster: Path, open_folder: Path) -> Iterator[Replicated]:
    with replicated(stopped_cluster, open_folder) as nodes:
        yield nodes


@pytest.fixture
def switch(io_loop: IOLoop, nodes: Replicated) -> Iterator[Switch]:
    switch = Switch(nodes.primary.url)
    io_loop.run_sync(switch.open)
    yield switch
    io_loop.run_sync(switch.close)


@pytest.fixture
def hosts() -> str:
    """Return what DATABASE_URL names: by default, one address."""
    return "one"


@pytest.fixture
def dsn(hosts: str, nodes: Replicated, switch: Switch) -> str:
    if hosts == "one":
        return switch.url
    ports = [str(node.port) for node in (nodes.primary, nodes.standby)]
    return nodes.primary.url.replace(ports[0], f"{ports[0]},127.0.0.1:{ports[1]}")


@dataclass
class Caller:
    """Sends requests with one token all the time, and records when each began, and its status."""

    api: Api
    token: str
    answers: list[tuple[float, int]] = field(default_factory=list)

    async def call(self) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            answer = await self.api.request("GET", "/api/user", authorization=bearer(self.token))
            self.answers.append((began, answer.status))
            await asyncio.sleep(0.005)

    async def wait_for(self, status: int) -> None:
        """Wait for an answer to a request that begins now or later."""
        began = asyncio.get_running_loop().time()
        await until(lambda: status in self.statuses_since(began))

    def statuses_since(self, began: float) -> set[int]:
        return {status for at, status in self.answers if at > began}


@asynccontextmanager
async def calling(api: Api) -> AsyncIterator[tuple[Caller, Caller]]:
    """Call with two tokens, of which one will be revoked, during the block."""
    callers = [Caller(api, await api.registered_token(email)) for email in (REVOKED, KEPT)]
    tasks = [asyncio.create_task(caller.call()) for caller in callers]
    try:
        await asyncio.gather(*(caller.wait_for(200) for caller in callers))
        yield callers[0], callers[1]
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def revoke(node: Node) -> float:
    """Revoke a token on a node; return when that was acknowledged."""
    await asyncio.to_thread(node.sql, REVOKE)
    return asyncio.get_running_loop().time()


async def demote(node: Node) -> None:
    """Start a stopped node as a standby that is behind: it follows no primary."""
    node.become_standby()
    await asyncio.to_thread(node.start)


async def expect_only_rejections(revoked: Caller, kept: Caller) -> None:
    """Assert that neither token gets in for some requests."""
    for _ in range(3):
        await asyncio.gather(revoked.wait_for(503), kept.wait_for(503))


@acknowledged_reads
@pytest.mark.gen_test
async def test_a_primary_that_was_replaced_and_still_runs_admits_no_revoked_token(
    api: Api, nodes: Replicated, switch: Switch, tmp_path: Path
) -> None:
    """As one does whose Patroni hangs. Nothing but acknowledged reads recognizes it."""
    old, new = nodes.primary, nodes.standby
    async with calling(api) as (revoked, kept):
        await asyncio.to_thread(new.promote)
        began = await revoke(new)
        await expect_only_rejections(revoked, kept)
        assert old.sql("SELECT pg_is_in_recovery()") == [(False,)]
        with new.acknowledged(tmp_path):
            switch.lead_to(new.url)
            await asyncio.to_thread(old.stop)
            await asyncio.gather(revoked.wait_for(401), kept.wait_for(200))
        assert revoked.statuses_since(began) == {503, 401}


@acknowledged_reads
@pytest.mark.gen_test
async def test_a_primary_that_was_frozen_and_then_demoted_admits_no_revoked_token(
    api: Api, nodes: Replicated, switch: Switch, tmp_path: Path
) -> None:
    """Thawed, it is a primary for a moment, and then a standby that is behind."""
    old, new = nodes.primary, nodes.standby
    async with calling(api) as (revoked, kept):
        await asyncio.to_thread(old.freeze)
        await asyncio.to_thread(new.promote)
        began = await revoke(new)
        await asyncio.to_thread(old.thaw)
        await expect_only_rejections(revoked, kept)
        await asyncio.to_thread(old.stop)
        await demote(old)
        await expect_only_rejections(revoked, kept)
        with new.acknowledged(tmp_path):
            switch.lead_to(new.url)
            switch.cut()
            await asyncio.gather(revoked.wait_for(401), kept.wait_for(200))
        assert revoked.statuses_since(began) == {503, 401}


@acknowledged_reads
@both_hosts
@pytest.mark.gen_test
async def test_with_acknowledged_reads_a_server_finds_the_new_primary_beside_the_old_one(
    api: Api, nodes: Replicated, tmp_path: Path
) -> None:
    async with calling(api) as (revoked, kept):
        await asyncio.to_thread(nodes.standby.promote)
        began = await revoke(nodes.standby)
        with nodes.standby.acknowledged(tmp_path):
            await asyncio.gather(revoked.wait_for(401), kept.wait_for(200))
            assert nodes.primary.sql("SELECT pg_is_in_recovery()") == [(False,)]
        assert revoked.statuses_since(began) <= {503, 401}


@override_settings(
    DATABASE__URL=SETTINGS["DATABASE__URL"],
    DATABASE__READS="acknowledged",
    DATABASE__ACQUIRE_TIMEOUT_SECONDS=600,
    DATABASE__QUERY_TIMEOUT_SECONDS=600,
)
@both_hosts
@pytest.mark.gen_test
async def test_a_server_finds_the_new_primary_before_a_lookup_runs_out_of_time(
    api: Api, nodes: Replicated, tmp_path: Path
) -> None:
    """The old one still runs, and acknowledges nothing."""
    async with calling(api) as (revoked, kept):
        await asyncio.to_thread(nodes.standby.promote)
        began = await revoke(nodes.standby)
        with nodes.standby.acknowledged(tmp_path):
            await asyncio.gather(revoked.wait_for(401), kept.wait_for(200))
            assert nodes.primary.sql("SELECT pg_is_in_recovery()") == [(False,)]
        assert revoked.statuses_since(began) == {401}


@primary_reads
@both_hosts
@pytest.mark.gen_test
async def test_a_server_that_left_a_frozen_primary_does_not_return_to_it(
    api: Api, nodes: Replicated
) -> None:
    async with calling(api) as (revoked, kept):
        await asyncio.to_thread(nodes.primary.freeze)
        await asyncio.to_thread(nodes.standby.promote)
        began = await revoke(nodes.standby)
        await asyncio.gather(revoked.wait_for(401), kept.wait_for(200))
        await asyncio.to_thread(nodes.primary.thaw)
        for _ in range(20):
            await revoked.wait_for(401)
        assert revoked.statuses_since(began) <= {503, 401}


@primary_reads
@both_hosts
@pytest.mark.gen_test
async def test_a_write_that_is_not_acknowledged_leads_to_the_new_primary(
    api: Api, nodes: Replicated
) -> None:
    async with calling(api) as (revoked, kept):
        await asyncio.to_thread(nodes.standby.promote)
        await kept.wait_for(200)
        async with asyncio.timeout(20):
            while (await api.log_in(KEPT)).status != 200:
                pass
        began = await revoke(nodes.standby)
        await asyncio.gather(revoked.wait_for(401), kept.wait_for(200))
        assert revoked.statuses_since(began) == {401}


@primary_reads
@pytest.mark.gen_test
async def test_a_switchover_admits_no_revoked_token(
    api: Api, nodes: Replicated, switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old primary comes back as a standby that is behind."""
    old, new = nodes.primary, nodes.standby
    async with calling(api) as (revoked, kept):
        await asyncio.to_thread(old.stop)
        await asyncio.to_thread(new.promote)
        began = await revoke(new)
        await demote(old)
        await expect_only_rejections(revoked, kept)
        switch.lead_to(new.url)
        switch.cut()
        await asyncio.gather(revoked.wait_for(401), kept.wait_for(200))
        assert revoked.statuses_since(began) == {503, 401}
    caplog.clear()


@primary_reads
@pytest.mark.gen_test
async def test_a_proxy_that_ends_sessions_fences_the_old_primary_off(
    api: Api, nodes: Replicated, switch: Switch
) -> None:
    new = nodes.standby
    async with calling(api) as (revoked, kept):
        await asyncio.to_thread(new.promote)
        switch.lead_to(new.url)
        switch.cut()
        began = await revoke(new)
        await asyncio.gather(revoked.wait_for(401), kept.wait_for(200))
        assert revoked.statuses_since(began) == {401}


@primary_reads
@pytest.mark.gen_test
async def test_once_a_server_has_met_the_new_primary_it_leaves_the_old_one(
    api: Api, nodes: Replicated, switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an end of its sessions, its lookups would remain where they are."""
    old, new = nodes.primary, nodes.standby
    async with calling(api) as (revoked, kept):
        await asyncio.to_thread(new.promote)
        switch.lead_to(new.url)
        await kept.wait_for(200)
        # A login writes, which the old primary does not acknowledge: it needs another connection.
        async with asyncio.timeout(20):
            while (await api.log_in(KEPT)).status != 200:
                pass
        began = await revoke(new)
        await asyncio.gather(revoked.wait_for(401), kept.wait_for(200))
        assert revoked.statuses_since(began) == {401}
        switch.lead_to(old.url)
        switch.cut()
        await expect_only_rejections(revoked, kept)
        switch.lead_to(new.url)
        await asyncio.gather(revoked.wait_for(401), kept.wait_for(200))
        assert revoked.statuses_since(began) == {401, 503}
    assert any("was replaced: it is on timeline 1, and" in each for each in caplog.messages)
    caplog.clear()
