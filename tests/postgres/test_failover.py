"""A DATABASE_URL with several hosts, and a primary that is replaced by its standby."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from db.errors import ReadOnly, Unavailable
from db.pool import Connection, Database
from tests.harness.api import Api, bearer
from tests.harness.command_line import manage
from tests.harness.pool_limits import LIMITS
from tests.harness.processes import free_port, running_server
from tests.harness.replication import Replicated, replicated
from tests.harness.switch import Switch

# Tests with a silent host wait for this limit.
SHORT = replace(LIMITS, acquire_timeout_seconds=4)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture
def pair(stopped_cluster: Path, open_folder: Path) -> Iterator[Replicated]:
    with replicated(stopped_cluster, open_folder) as nodes:
        yield nodes


def url_of(*ports: int) -> str:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://userauth@{hosts}/userauth"


async def port_of(connection: Connection) -> object:
    """Return the port that a connection leads to."""
    row = await connection.fetch_one("SELECT current_setting('port')::integer")
    return row and row[0]


def test_a_server_finds_the_primary_and_the_one_that_replaces_it(
    pair: Replicated, tmp_path: Path
) -> None:
    primary, standby = pair.primary, pair.standby
    url = url_of(free_port(), standby.port, primary.port)
    variables = {"DATABASE_URL": f"{url}?target_session_attrs=read-write"}

    async def use(url: str) -> None:
        api = Api(url)
        kept = await api.registered_token("kept@example.com")
        revoked = await api.registered_token("revoked@example.com")
        answer = await api.request("POST", "/api/user/logout", authorization=bearer(revoked))
        assert answer.status == 204
        await asyncio.to_thread(primary.stop)
        answer = await api.request("GET", "/api/user", authorization=bearer(kept))
        assert answer.status == 503
        assert "Retry-After" in answer.headers
        await asyncio.to_thread(standby.set, "synchronous_standby_names", "")
        await asyncio.to_thread(standby.promote)
        began = time.monotonic()
        while True:
            answer = await api.request("GET", "/api/user", authorization=bearer(kept))
            if answer.status == 200:
                break
            assert answer.status == 503
            # Ten times what it takes: the machine may be busy.
            assert time.monotonic() < began + 20
        answer = await api.request("GET", "/api/user", authorization=bearer(revoked))
        assert answer.status == 401
        assert (await api.log_in("kept@example.com")).status == 200
        api.close()

    with running_server(variables, tmp_path / "log") as server:
        asyncio.run(use(server.url))
        written = server.written()
    now, before = (f"127.0.0.1 port {node.port}" for node in (standby, primary))
    assert written.count(f"the primary is now {now}, and no longer {before}") == 1
    assert "Traceback" not in written


def test_connections_to_a_frozen_primary_end_when_a_new_one_is_found(pair: Replicated) -> None:
    primary, standby = pair.primary, pair.standby

    async def run() -> None:
        database = await Database.open(url_of(primary.port, standby.port), SHORT)
        async with database.connection() as held:
            assert await port_of(held) == primary.port
            primary.freeze()
            with pytest.raises(Unavailable, match="no response in time"):
                async with database.connection():
                    pass
            # It may only be busy.
            assert database.generation == 0
            standby.promote()
            async with database.connection() as connection:
                assert await port_of(connection) == standby.port
            assert database.generation == 1
            primary.thaw()
            # It would answer as a primary.
            with pytest.raises(Unavailable):
                await port_of(held)
        async with database.connection() as one, database.connection() as two:
            assert [await port_of(one), await port_of(two)] == [standby.port] * 2
        await database.close()

    asyncio.run(run())


def test_a_commit_on_a_primary_that_was_replaced_fails_at_once(pair: Replicated) -> None:
    """Nothing acknowledges it; and if Postgres needs no acknowledgement, the rewind undoes it."""
    primary, standby = pair.primary, pair.standby

    async def commit(database: Database) -> None:
        async with database.transaction(600) as connection:
            await connection.execute("UPDATE userauth_schema SET version = version")

    async def run() -> None:
        # Without a time limit that ends the wait.
        limits = replace(SHORT, query_timeout_seconds=600)
        database = await Database.open(url_of(primary.port, standby.port), limits)
        async with database.connection(600) as held:
            await port_of(held)
            standby.promote()
            committing = asyncio.create_task(commit(database))
            await asyncio.to_thread(primary.wait_for, f"({WAITING}) = 1")
            async with asyncio.timeout(20):
                database.search_primary()
                with pytest.raises(Unavailable):
                    await committing
            with pytest.raises(Unavailable):
                await port_of(held)
        async with database.connection() as connection:
            assert await port_of(connection) == standby.port
        await database.close()

    asyncio.run(run())


def test_connections_end_when_their_host_is_found_to_be_a_standby(pair: Replicated) -> None:
    """A proxy, or the name of the host, leads to a standby from now on."""

    async def run() -> None:
        switch = Switch(pair.primary.url)
        await switch.open()
        database = await Database.open(switch.url, SHORT)
        async with database.connection() as held:
            await port_of(held)
            switch.lead_to(pair.standby.url)
            with pytest.raises(ReadOnly, match="is a standby"):
                async with database.connection():
                    pass
            assert held.closed
        await database.close()
        await switch.close()

    asyncio.run(run())


def test_commands_find_the_primary(pair: Replicated, tmp_path: Path) -> None:
    url = url_of(free_port(), pair.standby.port, pair.primary.port)
    for command in (["check", "--database"], ["users", "list"], ["backup", str(tmp_path / "dump")]):
        ended = manage(*command, DATABASE_URL=url)
        assert ended.returncode == 0, ended
    ended = manage("restore", "--replace", "--yes", str(tmp_path / "dump"), DATABASE_URL=url)
    assert ended.returncode == 0, ended
    [(name,)] = pair.primary.sql("SELECT kind FROM events ORDER BY id DESC LIMIT 1")
    assert name == "restored"
