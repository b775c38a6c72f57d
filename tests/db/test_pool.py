"""Connections: in turn, within their time, and whole again after Postgres was away."""

import asyncio
import socket
from dataclasses import replace

import pytest

from db.errors import Locked, ReadOnly, SchemaError, StatementError, Unavailable
from db.pool import Connection, Database
from postgres.plain_connection import plain_connection
from tests.harness.databases import new_database, use
from tests.harness.pool_limits import LIMITS
from tests.harness.proxy import Proxy
from tests.harness.sql import run_sql


async def backend(connection: Connection) -> int:
    row = await connection.fetch_one("SELECT pg_backend_pid()")
    assert row is not None
    return int(row[0])


async def names(database: Database) -> list[str]:
    async with database.connection() as connection:
        return [row[0] for row in await connection.fetch_all("SELECT email FROM users")]


INSERT = "INSERT INTO users (email, email_key, password_hash) VALUES (%s, %s, 'x')"


def test_a_transaction_commits(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute(INSERT, ("a", "a"))
        assert await names(database) == ["a"]

    use(dsn, work)


def test_an_exception_rolls_a_transaction_back(dsn: str) -> None:
    async def work(database: Database) -> None:
        with pytest.raises(RuntimeError, match="on purpose"):
            async with database.transaction() as connection:
                await connection.execute(INSERT, ("a", "a"))
                raise RuntimeError("on purpose")
        assert await names(database) == []

    use(dsn, work)


def test_a_cancelled_request_rolls_back_and_gives_its_connection_back(dsn: str) -> None:
    async def held(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute(INSERT, ("a", "a"))
            await connection.execute("SELECT pg_sleep(10)")

    async def work(database: Database) -> None:
        for _ in range(5):
            task = asyncio.create_task(held(database))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await names(database) == []

    use(dsn, work)


def test_a_statement_that_takes_too_long_is_unavailable_and_nothing_stays(dsn: str) -> None:
    async def work(database: Database) -> None:
        for _ in range(3):
            with pytest.raises(Unavailable):
                async with database.transaction() as connection:
                    await connection.execute(INSERT, ("a", "a"))
                    await connection.execute("SELECT pg_sleep(10)")
        assert await names(database) == []

    use(dsn, work, replace(LIMITS, query_timeout_seconds=0.1))


def test_a_statement_that_postgres_cancels_is_unavailable(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute("SET statement_timeout = 50")
            with pytest.raises(Unavailable):
                await connection.execute("SELECT pg_sleep(10)")

    use(dsn, work)


def test_a_fault_in_a_statement_tells_no_values(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            with pytest.raises(StatementError) as fault:
                await connection.execute("SELECT %s::integer", ("secret",))
        assert "secret" not in str(fault.value)
        assert fault.value.__cause__ is None

    use(dsn, work)


def test_those_who_wait_for_a_connection_get_it_in_their_order(dsn: str) -> None:
    served: list[int] = []

    async def wait(database: Database, number: int) -> None:
        async with database.connection() as connection:
            served.append(number)
            await connection.execute("SELECT pg_sleep(0.005)")

    async def work(database: Database) -> None:
        await asyncio.gather(*(wait(database, number) for number in range(30)))

    # All are open from the start: a new one may take longer than the statements of others.
    use(dsn, work, replace(LIMITS, pool_min=LIMITS.pool_max, acquire_timeout_seconds=5))
    assert served == list(range(30))


def test_whoever_waits_too_long_for_a_connection_is_told_so(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection(), database.connection():
            with pytest.raises(Unavailable):
                async with database.connection():
                    pass
        async with database.connection() as connection:
            assert await connection.fetch_one("SELECT 1") == (1,)

    use(dsn, work)


def test_connections_that_were_ended_are_replaced(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            ended = await backend(connection)
            run_sql(dsn, "SELECT pg_terminate_backend(%s, 5000)", (ended,))
            with pytest.raises(Unavailable):
                await connection.fetch_one("SELECT 1")
        async with database.connection() as connection:
            assert await backend(connection) != ended

    use(dsn, work)


def test_a_database_that_only_reads_is_unavailable_for_writing(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute("SET default_transaction_read_only = on")
            with pytest.raises(Unavailable):
                await connection.execute(INSERT, ("a", "a"))

    use(dsn, work)


def test_a_lock_that_another_session_holds_is_unavailable_before_the_statement_ends(
    dsn: str,
) -> None:
    async def work(database: Database) -> None:
        async with database.transaction() as holder:
            await holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(Locked, match="another session holds a lock"):
                await names(database)

    use(dsn, work, replace(LIMITS, query_timeout_seconds=0.2))


@pytest.mark.parametrize(
    ("inherited", "pinned"),
    [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ],
)
def test_a_commit_is_durable_whatever_the_database_has_as_its_default(
    postgres: str, inherited: str, pinned: str
) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            assert await connection.fetch_one("SHOW synchronous_commit") == (pinned,)
            assert await connection.fetch_one("SHOW lock_timeout") == ("1s",)

    with new_database(postgres, f"commits_{inherited}") as dsn:
        run_sql(dsn, f"ALTER DATABASE commits_{inherited} SET synchronous_commit = {inherited}")
        use(dsn, work)
        with plain_connection(dsn) as connection:
            assert connection.value("SHOW synchronous_commit") == pinned


def test_a_role_that_only_reads_is_refused(postgres: str) -> None:
    async def work(_: Database) -> None:
        raise AssertionError("it may not be used")

    with new_database(postgres, "reading") as dsn:
        run_sql(dsn, "ALTER DATABASE reading SET default_transaction_read_only = on")
        with pytest.raises(ReadOnly, match="only reads"):
            use(dsn, work)


def test_names_are_those_of_our_schema_whatever_the_role_searches(postgres: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            path = await connection.fetch_one("SHOW search_path")
            assert path == ('"Our ""own", pg_temp',)
            current = await connection.fetch_one("SELECT to_regclass('elsewhere') IS NULL")
            assert current == (True,)

    with new_database(postgres, "searched") as dsn:
        run_sql(dsn, 'CREATE SCHEMA "Our ""own"; CREATE TABLE elsewhere (id integer)')
        run_sql(
            dsn, 'ALTER DATABASE searched SET search_path = missing, "Our ""own", public, pg_temp'
        )
        use(dsn, work)


def test_a_role_without_a_schema_is_told_so(postgres: str) -> None:
    async def work(_: Database) -> None:
        raise AssertionError("it may not be used")

    with new_database(postgres, "schemaless") as dsn:
        run_sql(dsn, "ALTER DATABASE schemaless SET search_path = missing")
        with pytest.raises(SchemaError, match="create one"):
            use(dsn, work)


def test_a_database_that_is_away_is_unavailable_at_once() -> None:
    async def work(_: Database) -> None:
        raise AssertionError("there is no database")

    with pytest.raises(Unavailable):
        use("postgresql://127.0.0.1:1/none", work)


def test_a_silent_address_of_a_host_is_not_the_end(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        proxy = Proxy(dsn)
        await proxy.open()

        async def both(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(0, 0, 0, "", ("127.0.0.2", 0)), (0, 0, 0, "", ("127.0.0.1", 0))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both, raising=False)
        with socket.create_server(("127.0.0.2", proxy.port)):  # accepts, and says nothing
            url = proxy.url.replace("127.0.0.1", "db.example.com")
            database = await Database.open(url, replace(LIMITS, acquire_timeout_seconds=2))
        await database.close()
        await proxy.close()

    asyncio.run(run())


def test_each_address_of_a_host_is_tried(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        proxy = Proxy(dsn)
        await proxy.open()

        async def both(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(0, 0, 0, "", ("127.0.0.2", 0)), (0, 0, 0, "", ("127.0.0.1", 0))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both, raising=False)
        database = await Database.open(proxy.url.replace("127.0.0.1", "db.example.com"), LIMITS)
        async with database.connection() as connection:
            assert await backend(connection)
        await database.close()
        await proxy.close()

    asyncio.run(run())
