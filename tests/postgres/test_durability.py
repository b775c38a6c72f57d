"""An acknowledged revocation survives a crash of Postgres, and a standby."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import aiopg
import pytest

from db.errors import DatabaseError, ReadOnly, Unavailable
from db.fences import fenced
from db.pool import Database
from db.prepared import PreparedQuery
from db.rows import Row
from postgres.plain_connection import plain_connection
from tests.harness.api import Api, bearer
from tests.harness.command_line import manage
from tests.harness.databases import apply
from tests.harness.external_cluster import Cluster, copied_cluster, new_cluster
from tests.harness.memory_directory import new_directory
from tests.harness.pool_limits import LIMITS
from tests.harness.processes import run_to_the_end, running_server

pytestmark = pytest.mark.needs("initdb", "openssl")
LAG = "recovery_min_apply_delay=1h"
USERS = 4
WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


def ask(url: str, work: Callable[[Api], Awaitable[None]]) -> None:
    async def run() -> None:
        api = Api(url)
        try:
            await work(api)
        finally:
            api.close()

    asyncio.run(run())


async def statuses(api: Api, tokens: list[str]) -> list[int]:
    answers = [
        await api.request("GET", "/api/user", authorization=bearer(token)) for token in tokens
    ]
    return [answer.status for answer in answers]


async def registered(api: Api, prefix: str) -> list[str]:
    return [await api.registered_token(f"{prefix}{n}@example.com") for n in range(USERS)]


async def log_out(api: Api, token: str) -> None:
    answer = await api.request("POST", "/api/user/logout", authorization=bearer(token))
    assert answer.status == 204


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """Yield the directory of a stopped cluster with the schema: initdb takes a second."""
    with new_directory() as folder:
        with new_cluster(Path(folder)) as cluster:
            apply(cluster.url())
            cluster.sql("CHECKPOINT")
        yield Path(folder)


@pytest.fixture
def primary(made: Path, open_folder: Path) -> Iterator[Cluster]:
    options = ("wal_writer_delay=10s", "wal_level=replica")
    with copied_cluster(made, open_folder, *options) as cluster:
        yield cluster


@pytest.fixture
def standby(primary: Cluster) -> Iterator[Cluster]:
    """Create a standby, which applies changes with a delay of an hour."""
    made = primary.standby(LAG)
    made.start()
    yield made
    made.stop()


def test_a_revocation_survives_kill_9_of_postgres_whatever_its_role_inherits(
    primary: Cluster, tmp_path: Path
) -> None:
    primary.sql("ALTER ROLE userauth SET synchronous_commit = off")
    tokens: list[str] = []

    async def revoke(api: Api) -> None:
        tokens.extend(await registered(api, "susan"))
        for token in tokens:
            await log_out(api, token)
        primary.kill()

    async def look(api: Api) -> None:
        assert await statuses(api, tokens) == [401] * USERS

    variables = {"DATABASE_URL": primary.url()}
    with running_server(variables, tmp_path / "log") as server:
        ask(server.url, revoke)
    primary.start()
    with running_server(variables, tmp_path / "again") as server:
        ask(server.url, look)


def test_a_commit_is_no_success_when_its_wait_for_the_standby_is_cancelled(
    primary: Cluster,
) -> None:
    """Postgres then commits without the standby, and only sends a warning."""
    statement = "CREATE TABLE {} ()"

    async def in_transaction(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute(statement.format("a"))

    async def alone(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute(statement.format("b"))

    def plain(name: str, *, alone: bool) -> None:
        with (
            plain_connection(primary.url()) as connection,
            nullcontext() if alone else connection.transaction(),
        ):
            connection.execute(statement.format(name))

    async def run() -> None:
        database = await Database.open(primary.url(), LIMITS)
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'absent'", "postgres")
        primary.sql("SELECT pg_reload_conf()", "postgres")
        primary.wait_for("current_setting('synchronous_standby_names') = 'absent'")
        for write in (
            in_transaction(database),
            alone(database),
            asyncio.to_thread(plain, "c", alone=False),
            asyncio.to_thread(plain, "d", alone=True),
        ):
            writing = asyncio.ensure_future(write)
            await asyncio.to_thread(primary.wait_for, f"EXISTS (SELECT {WAITING})")
            primary.sql(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event='SyncRep'"
            )
            with pytest.raises(Unavailable, match="a failover may undo it"):
                await writing
        await database.close()

    asyncio.run(run())


def test_a_server_does_not_start_on_a_standby(standby: Cluster) -> None:
    ended = run_to_the_end(DATABASE_URL=standby.url())
    assert ended.returncode == 1
    assert "is a standby" in ended.stderr
    assert "Traceback" not in ended.stderr
    listed = manage("users", "list", DATABASE_URL=standby.url())
    assert (listed.returncode, listed.stdout) == (1, "")
    assert "is a standby" in listed.stderr


def test_a_demoted_primary_gets_503_until_it_is_promoted_and_never_outdated_rows(
    primary: Cluster, standby: Cluster, tmp_path: Path
) -> None:
    """The standby takes over the address of the primary, with rows from before the revocations."""
    variables = {"DATABASE_URL": primary.url()}
    kept: list[str] = []
    revoked: list[str] = []

    async def prepare(api: Api) -> None:
        revoked.extend(await registered(api, "revoked"))
        kept.extend(await registered(api, "kept"))
        received = "pg_last_wal_receive_lsn() >= "
        [(before,)] = primary.sql("SELECT pg_current_wal_flush_lsn()::text")
        standby.wait_for(f"{received}'{before}'::pg_lsn")
        for token in revoked:
            await log_out(api, token)
        [(after,)] = primary.sql("SELECT pg_current_wal_flush_lsn()::text")
        standby.wait_for(f"{received}'{after}'::pg_lsn")
        standby.stop()
        primary.kill()
        standby.port = primary.port
        standby.start()

    async def rejected(api: Api) -> None:
        assert await statuses(api, revoked + kept) == [503] * 2 * USERS
        assert (await api.log_in("revoked0@example.com")).status == 503
        assert (await api.request("GET", "/health/ready")).status == 503
        standby.promote()

    async def served(api: Api) -> None:
        while (await api.request("GET", "/health/ready")).status != 200:
            await asyncio.sleep(0.05)
        assert await statuses(api, revoked) == [401] * USERS
        assert await statuses(api, kept) == [200] * USERS

    with running_server(variables, tmp_path / "log") as server:
        for work in (prepare, rejected, served):
            ask(server.url, work)
        written = server.written()
    # Once in ten seconds, not for each request.
    assert 1 <= written.count(" is a standby: requests get 503") < USERS
    assert written.count("Postgres can be used again: requests are served") == 1
    assert "Traceback" not in written


def test_the_primary_is_chosen_among_the_addresses_of_a_host(
    primary: Cluster, standby: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    standby.stop()
    standby.host, standby.port = "127.0.0.2", primary.port
    standby.start()

    def both(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (address, 0)) for address in ("127.0.0.2", "127.0.0.1")]

    async def run() -> None:
        monkeypatch.setattr(socket, "getaddrinfo", both)
        database = await Database.open(
            primary.url().replace("@127.0.0.1", "@db.example.com"), replace(LIMITS, pool_max=3)
        )
        async with database.connection() as one, database.connection() as two:
            for connection in (one, two):
                assert await connection.fetch_one("SELECT pg_is_in_recovery()") == (False,)
            assert database.generation == 0
            primary.kill()
            with pytest.raises(Unavailable):
                await one.fetch_one("SELECT 1")
            # Without a primary, earlier connections are not used again.
            with pytest.raises(ReadOnly, match="is a standby"):
                await database.prepare("q", "SELECT id FROM users WHERE id = ANY($1)", "uuid")
            assert database.generation == 1
        await database.close()

    asyncio.run(run())


def _hand_over(
    answered: "asyncio.Future[DatabaseError | None]", _: list[Row], error: DatabaseError | None
) -> None:
    answered.set_result(error)


def test_the_result_of_a_standby_does_not_count_even_when_empty(
    standby: Cluster,
) -> None:
    """Only a proxy could redirect a connection to a standby: each result contains its state."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        queries = product(("SELECT 1", "SELECT 1 WHERE false"), (False, True))
        for sql, acknowledged in queries:
            raw = await aiopg.connect(standby.url())
            cursor = await raw.cursor()
            statement = fenced(sql, acknowledged=acknowledged)
            await cursor.execute(f"PREPARE q (text[]) AS {statement}")
            query = PreparedQuery(raw, "EXECUTE q (%s::text[])")
            answered: asyncio.Future[DatabaseError | None] = loop.create_future()
            query.send(["key"], partial(_hand_over, answered))
            assert isinstance(await answered, ReadOnly)
            assert query.closed

    asyncio.run(run())


def test_a_cluster_without_fsync_is_reported_at_startup_and_by_check(
    primary: Cluster, tmp_path: Path
) -> None:
    variables = {"DATABASE_URL": primary.url()}
    with running_server(variables, tmp_path / "good") as server:
        pass
    assert "fsync" not in server.written()
    result = manage("check", **variables)
    assert (result.returncode, result.stdout) == (0, "The settings are valid (testing).\n")
    primary.sql("ALTER SYSTEM SET fsync = off", "postgres")
    primary.sql("SELECT pg_reload_conf()", "postgres")
    primary.wait_for("current_setting('fsync') = 'off'")
    with running_server(variables, tmp_path / "bad") as server:
        pass
    assert "WARNING fsync is off in Postgres" in server.written()
    result = manage("check", **variables)
    assert result.returncode == 0
    assert "Warning: fsync is off in Postgres" in result.stdout


def test_check_rejects_an_unusable_database_and_changes_none(
    primary: Cluster, standby: Cluster
) -> None:
    result = manage("check", DATABASE_URL=standby.url())
    assert result.returncode == 1
    assert "is a standby" in result.stderr
    before = primary.sql("SELECT count(*) FROM pg_class")
    empty = primary.url(database="postgres")
    assert manage("check", DATABASE_URL=empty).returncode == 0
    assert primary.sql("SELECT count(*) FROM pg_class") == before
