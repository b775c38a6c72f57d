"""Connections: their order, their time limits, and their replacement after failures."""

import asyncio
import socket
import traceback
from dataclasses import replace
from functools import partial

import pytest

from db.connecting import connect
from db.dsn import describe
from db.errors import (
    ConnectionRejected,
    InvalidUrl,
    Locked,
    PoolerNotSupported,
    ReadOnly,
    SchemaError,
    ServerTooOld,
    StatementError,
    Unavailable,
)
from db.pool import Connection, Database
from db.route import Route
from postgres.plain_connection import plain_connection
from settings.choices import Pooler
from tests.harness.configuration import ROOT
from tests.harness.databases import apply, new_database, use
from tests.harness.pool_limits import LIMITS
from tests.harness.proxy import Proxy
from tests.harness.shown_settings import setting_of_lookups
from tests.harness.sql import run_sql
from tests.harness.waiting import until


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


def test_a_cancelled_request_rolls_back_and_returns_its_connection(dsn: str) -> None:
    async def held(database: Database, email: str, inserted: asyncio.Event) -> None:
        async with database.transaction() as connection:
            await connection.execute(INSERT, (email, email))
            inserted.set()
            await connection.execute("SELECT pg_sleep(10)")

    async def work(database: Database) -> None:
        for email in "abcde":
            inserted = asyncio.Event()
            task = asyncio.create_task(held(database, email, inserted))
            await inserted.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await names(database) == []

    use(dsn, work)


def test_a_slow_statement_is_unavailable_and_rolled_back(dsn: str) -> None:
    async def work(database: Database) -> None:
        for _ in range(3):
            with pytest.raises(Unavailable):
                async with database.transaction(seconds=0.2) as connection:
                    await connection.execute(INSERT, ("a", "a"))
                    await connection.execute("SELECT pg_sleep(60)")
        assert await names(database) == []

    use(dsn, work)


def test_a_statement_that_postgres_cancels_is_unavailable(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute("SET statement_timeout = 50")
            with pytest.raises(Unavailable):
                await connection.execute("SELECT pg_sleep(10)")

    use(dsn, work)


def test_an_error_message_contains_no_values_of_the_statement(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            with pytest.raises(StatementError) as fault:
                await connection.execute("SELECT %s::integer", ("secret",))
        assert "secret" not in str(fault.value)
        assert fault.value.__cause__ is None

    use(dsn, work)


def test_borrowers_get_connections_in_their_order(dsn: str) -> None:
    served: list[int] = []

    async def wait(database: Database, number: int) -> None:
        async with database.connection() as connection:
            served.append(number)
            await connection.execute("SELECT pg_sleep(0.005)")

    async def work(database: Database) -> None:
        await asyncio.gather(*(wait(database, number) for number in range(30)))

    # All are open from the start, since connecting may take longer than the statements of others.
    use(dsn, work, replace(LIMITS, pool_min=LIMITS.pool_max))
    assert served == list(range(30))


def test_a_borrower_that_waits_too_long_gets_unavailable(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection(), database.connection():
            # Only now: these two may have taken long.
            database.limits = replace(LIMITS, acquire_timeout_seconds=0.05)
            with pytest.raises(Unavailable):
                async with database.connection():
                    pass
        async with database.connection() as connection:
            assert await connection.fetch_one("SELECT 1") == (1,)

    use(dsn, work)


def test_terminated_connections_are_replaced(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            ended = await backend(connection)
            run_sql(dsn, "SELECT pg_terminate_backend(%s, 5000)", (ended,))
            with pytest.raises(Unavailable):
                await connection.fetch_one("SELECT 1")
        async with database.connection() as connection:
            assert await backend(connection) != ended

    use(dsn, work)


def test_a_read_only_database_is_unavailable_for_writes(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute("SET default_transaction_read_only = on")
            with pytest.raises(Unavailable):
                await connection.execute(INSERT, ("a", "a"))

    use(dsn, work)


def test_the_wait_for_a_lock_ends_before_the_time_limit_of_the_statement(
    dsn: str,
) -> None:
    async def work(database: Database) -> None:
        async with database.transaction() as holder:
            # Not users: a statement that another test canceled may still hold a lock on it.
            await holder.execute("LOCK TABLE clients IN ACCESS EXCLUSIVE MODE")
            async with database.connection() as connection:
                with pytest.raises(Locked, match="another session holds a lock"):
                    await connection.fetch_all("SELECT name FROM clients")

    use(dsn, work, replace(LIMITS, query_timeout_seconds=2))


@pytest.mark.parametrize("statement", ["PREPARE known AS SELECT 1", "EXECUTE unknown"])
def test_a_prepared_statement_of_another_session_is_reported_as_a_pooler(
    dsn: str, statement: str
) -> None:
    """A pooler in transaction mode connects a client to sessions that others have prepared."""

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute("PREPARE known AS SELECT 1")
            with pytest.raises(PoolerNotSupported, match="server_reset_query = DISCARD ALL"):
                await connection.execute(statement)

    use(dsn, work)


def test_a_lookup_in_a_session_that_has_prepared_it_is_reported_as_a_pooler(dsn: str) -> None:
    async def work(_: Database) -> None:
        setup = "PREPARE taken (text[]) AS SELECT 1"
        with pytest.raises(PoolerNotSupported, match="42P05") as raised:
            await connect(Route(dsn), LIMITS, setup=f"{setup}; {setup}")
        message = f"{raised.value}: requests get 503 until a restart"
        assert message in (ROOT / "docs" / "database.md").read_text(encoding="utf-8")

    use(dsn, work)


@pytest.mark.parametrize(
    ("inherited", "effective"),
    [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ],
)
def test_a_commit_is_durable_whatever_the_default_of_the_database(
    postgres: str, inherited: str, effective: str
) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            assert await connection.fetch_one("SHOW synchronous_commit") == (effective,)
            assert await connection.fetch_one("SHOW lock_timeout") == ("2s",)
            assert await connection.fetch_one("SHOW statement_timeout") == ("20500ms",)

    with new_database(postgres, f"commits_{inherited}") as dsn:
        run_sql(dsn, f"ALTER DATABASE commits_{inherited} SET synchronous_commit = {inherited}")
        use(dsn, work)
        with plain_connection(dsn) as connection:
            assert connection.value("SHOW synchronous_commit") == effective


def test_nulls_are_read_in_arrays_whatever_the_default_of_the_database(postgres: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            row = await connection.fetch_one("SELECT ('{NULL}'::text[])[1] IS NULL")
            assert row == (True,)

    with new_database(postgres, "nulls") as dsn:
        run_sql(dsn, "ALTER DATABASE nulls SET array_nulls = off")
        use(dsn, work)


def test_statements_are_not_compiled_whatever_the_default_of_the_database(postgres: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            assert await connection.fetch_one("SHOW jit") == ("off",)
        assert await setting_of_lookups(database, "jit") == "off"

    with new_database(postgres, "compiled") as dsn:
        apply(dsn)
        run_sql(dsn, "ALTER DATABASE compiled SET jit = on")
        use(dsn, work)


WARN = "DO $$ BEGIN RAISE WARNING 'on purpose'; END $$"
NOTICE = "DROP TABLE IF EXISTS missing"


@pytest.mark.parametrize("inherited", ["notice", "error"])
def test_a_commit_with_a_warning_is_no_success_whatever_the_default_of_the_database(
    postgres: str, inherited: str
) -> None:
    """It may be about the standby; others are none."""

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute(NOTICE)
            with pytest.raises(Unavailable, match="a failover may undo it"):
                await connection.execute(WARN)
            async with connection.transaction():
                await connection.execute(WARN)

    name = f"warnings_{inherited}"
    with new_database(postgres, name) as dsn:
        run_sql(dsn, f"ALTER DATABASE {name} SET client_min_messages = {inherited}")
        use(dsn, work)
        with plain_connection(dsn) as connection:
            connection.execute(NOTICE)
            with pytest.raises(Unavailable, match="a failover may undo it"):
                connection.execute(WARN)
            with connection.transaction():
                connection.execute(WARN)


def test_a_read_only_default_is_rejected(postgres: str) -> None:
    async def work(_: Database) -> None:
        raise AssertionError("the database was opened")

    with new_database(postgres, "reading") as dsn:
        run_sql(dsn, "ALTER DATABASE reading SET default_transaction_read_only = on")
        with pytest.raises(ReadOnly, match="is read-only"):
            use(dsn, work)


def test_names_resolve_to_our_schema_whatever_the_search_path_of_the_role(postgres: str) -> None:
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


@pytest.mark.parametrize("search_path", ["missing", "missing, pg_temp", "pg_temp"])
def test_a_role_without_a_schema_is_rejected(postgres: str, search_path: str) -> None:
    async def work(_: Database) -> None:
        raise AssertionError("the database was opened")

    with new_database(postgres, "schemaless") as dsn:
        run_sql(dsn, f"ALTER DATABASE schemaless SET search_path = {search_path}")
        with pytest.raises(SchemaError, match="create one"):
            use(dsn, work)


@pytest.mark.parametrize("pooler", [Pooler.NONE, Pooler.TRANSACTION])
def test_a_role_without_a_schema_that_may_create_no_temporary_tables_is_rejected(
    postgres: str, pooler: Pooler
) -> None:
    async def work(_: Database) -> None:
        raise AssertionError("the database was opened")

    with new_database(postgres, "without_tables") as dsn:
        run_sql(
            dsn,
            "REVOKE TEMPORARY ON DATABASE without_tables FROM PUBLIC, userauth;"
            " ALTER DATABASE without_tables SET search_path = missing, pg_temp",
        )
        with pytest.raises(SchemaError, match="create one"):
            use(dsn, work, replace(LIMITS, pooler=pooler))
        with pytest.raises(SchemaError, match="create one"), plain_connection(dsn):
            pass


@pytest.mark.parametrize(
    ("dsn", "location"),
    [
        ("postgresql://user:secret@one,two:5433/users", "one:5432,two:5433/users"),
        ("postgresql://user:secret@[::1]:5433/users", "[::1]:5433/users"),
        ("postgresql:///users?hostaddr=10.0.0.5", "10.0.0.5/users"),
        ("postgresql:///users?host=/run/postgresql&port=5433", "/run/postgresql:5433/users"),
        ("postgresql://user:secret@/", "localhost/user"),
    ],
)
def test_the_location_of_a_database_has_each_host_with_its_port(dsn: str, location: str) -> None:
    assert describe(dsn) == location


def test_a_connection_that_breaks_is_named_as_the_reason(dsn: str) -> None:
    async def work(database: Database) -> None:
        with pytest.raises(Unavailable, match=r"^the connection to Postgres broke: \w+$"):
            async with database.connection() as connection:
                await connection.close()
                await connection.execute("SELECT 1")

    use(dsn, work)


def test_a_refused_connection_is_unavailable() -> None:
    async def work(_: Database) -> None:
        raise AssertionError("the database was opened")

    with pytest.raises(Unavailable):
        use("postgresql://127.0.0.1:1/none", work)


def test_the_next_address_is_tried_when_one_does_not_answer(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        proxy = Proxy(dsn)
        await proxy.open()

        def both(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(0, 0, 0, "", ("127.0.0.2", 0)), (0, 0, 0, "", ("127.0.0.1", 0))]

        monkeypatch.setattr(socket, "getaddrinfo", both)
        try:
            with socket.create_server(("127.0.0.2", proxy.port)):  # accepts, and never answers
                url = proxy.url.replace("127.0.0.1", "db.example.com")
                # The share of the address ends the wait, not the longer limit of statements.
                limits = replace(LIMITS, acquire_timeout_seconds=6)
                database = await Database.open(url, limits)
            await database.close()
        finally:
            await proxy.close()

    asyncio.run(run())


def test_the_next_address_is_tried_when_one_refuses_the_connection(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        proxy = Proxy(dsn)
        await proxy.open()

        def both(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(0, 0, 0, "", ("127.0.0.2", 0)), (0, 0, 0, "", ("127.0.0.1", 0))]

        monkeypatch.setattr(socket, "getaddrinfo", both)
        database = await Database.open(proxy.url.replace("127.0.0.1", "db.example.com"), LIMITS)
        async with database.connection() as connection:
            assert await backend(connection)
        await database.close()
        await proxy.close()

    asyncio.run(run())


@pytest.mark.parametrize("host", ["db..example", f"{'a' * 64}.example"])
def test_a_host_name_with_an_invalid_label_is_rejected_with_advice(host: str) -> None:
    async def work(_: Database) -> None:
        raise AssertionError("the database was opened")

    with pytest.raises(InvalidUrl, match="DATABASE_URL has an invalid host name"):
        use(f"postgresql://{host}/none", work)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret%00@127.0.0.1/db",
        "postgresql://u:s3cret@127.0.0.1/db?bogus=1",
        "postgresql://u:s3cret@127.0.0.1/db?sslmode",
        "postgresql://u:s3cret@127.0.0.1/db?options=-c%20x=1",
        "postgresql://u:s3cret%zz@127.0.0.1/db",
    ],
)
def test_a_malformed_url_is_rejected_with_advice_that_does_not_quote_it(url: str) -> None:
    async def work(_: Database) -> None:
        raise AssertionError("the database was opened")

    def connect() -> None:
        with plain_connection(url):
            raise AssertionError("a connection was opened")

    for attempt in (partial(use, url, work), partial(describe, url), connect):
        with pytest.raises(InvalidUrl, match="DATABASE_URL is malformed") as rejected:
            attempt()
        assert "s3cret" not in "".join(traceback.format_exception(rejected.value))
        assert rejected.value.__suppress_context__


def test_a_dedicated_connection_leaves_the_pool_to_others(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.dedicated_connection(60) as dedicated:
            async with database.connection() as borrowed:
                assert await backend(borrowed) != await backend(dedicated)
            pid = await backend(dedicated)
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        async with database.connection() as connection:
            while (await connection.fetch_one(sessions, (pid,))) != (0,):
                await asyncio.sleep(0.01)

    use(dsn, work, replace(LIMITS, pool_max=1))


def test_a_connection_that_was_being_opened_when_all_were_discarded_is_not_used(dsn: str) -> None:
    async def work(database: Database) -> None:
        opening = asyncio.create_task(database.prepare("q", "SELECT 1 WHERE $1 IS NULL", "text"))
        await asyncio.sleep(0)
        database.react(ReadOnly("another primary was found"))
        with pytest.raises(Unavailable, match="while a connection was opened"):
            await opening

    use(dsn, work)


def test_a_dedicated_connection_to_a_standby_discards_the_others(dsn: str) -> None:
    async def work(database: Database) -> None:
        with pytest.raises(ReadOnly):
            async with database.dedicated_connection(60) as connection:
                await connection.execute("SET default_transaction_read_only = on")
                await connection.execute(INSERT, ("a", "a"))
        assert database.generation == 1

    use(dsn, work)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ReadOnly("another primary was found"), "all connections were discarded"),
        (ServerTooOld("start a newer server"), "start a newer server"),
    ],
)
def test_a_dedicated_connection_sends_nothing_after_all_were_discarded(
    dsn: str, error: Unavailable, reason: str
) -> None:
    async def work(database: Database) -> None:
        async with database.dedicated_connection(60) as connection:
            assert await connection.fetch_one("SELECT 1") == (1,)
            database.react(error)
            with pytest.raises(Unavailable, match=reason):
                await connection.fetch_one("SELECT 1")
            with pytest.raises(Unavailable, match=reason):
                async with connection.transaction():
                    raise AssertionError("a transaction began")

    use(dsn, work)


def test_a_second_connection_that_cannot_be_opened_leaves_none_open(postgres: str) -> None:
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'limited'"

    async def run(dsn: str) -> None:
        with pytest.raises(ConnectionRejected, match="too many connections") as raised:
            await Database.open(dsn, replace(LIMITS, pool_min=2))
        await until(lambda: run_sql(postgres, sessions) == [(0,)])
        # Its traceback has the pool, so that nothing else has closed the first one.
        assert raised.tb is not None

    with new_database(postgres, "limited") as dsn:
        run_sql(postgres, "ALTER DATABASE limited CONNECTION LIMIT 1")
        asyncio.run(run(dsn))


def test_a_failed_attempt_to_connect_leaves_the_pool_usable() -> None:
    async def run() -> None:
        database = Database("postgresql://127.0.0.1:1/none", replace(LIMITS, pool_max=1))
        for _ in range(3):
            # Not a timeout: the previous attempt does not occupy the pool.
            with pytest.raises(Unavailable, match="refused"):
                async with database.connection():
                    pass
        assert (database.failures, database.in_use, database.waiting) == (3, 0, 0)

    asyncio.run(run())


def test_a_connection_with_an_open_transaction_is_not_used_again(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute("BEGIN")
            first = await backend(connection)
        async with database.connection() as connection:
            assert await backend(connection) != first

    use(dsn, work)
