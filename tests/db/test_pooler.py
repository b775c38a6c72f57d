"""A pooler that shares the sessions of Postgres: PgBouncer in transaction mode."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest

from db.errors import (
    PoolerNotSupported,
    RoleSettingsMissing,
    ServerTooOld,
    UndeclaredPooler,
    WrongPooler,
)
from db.lookups import open_lookups
from db.pool import Database
from db.pooler import check_location, check_pooler, find_pooler_risks, get_location
from postgres.exclusive_access import COUNT_OTHER_CONNECTIONS, reject_other_connections
from postgres.plain_connection import plain_connection
from rules.errors import DatabaseUnavailable
from services.readiness import Readiness
from settings import load_settings
from settings.choices import Pooler
from tests.harness.configuration import ROOT
from tests.harness.databases import new_database, use
from tests.harness.pgbouncer import PooledDatabase, pooled_database, running_pgbouncer
from tests.harness.pool_limits import LIMITS
from tests.harness.shown_settings import setting_of_lookups
from tests.harness.sql import run_sql

SESSION = replace(LIMITS, pooler=Pooler.SESSION)
TRANSACTION = replace(LIMITS, pooler=Pooler.TRANSACTION)


@pytest.fixture
def pgbouncer(dsn: str) -> Iterator[str]:
    with running_pgbouncer(dsn) as url:
        yield url


@pytest.mark.needs("pgbouncer")
def test_a_pooler_in_transaction_mode_is_recognized_and_one_in_session_mode_accepted(
    pgbouncer: str,
) -> None:
    use(f"{pgbouncer}session", check_pooler, SESSION)

    async def work(database: Database) -> None:
        with pytest.raises(PoolerNotSupported, match="connections share sessions"):
            await check_pooler(database)

    use(f"{pgbouncer}transaction", work, SESSION)


@pytest.mark.needs("pgbouncer")
def test_a_pooler_is_recognized_while_others_use_its_sessions(pgbouncer: str) -> None:
    async def work(database: Database) -> None:
        is_recognized = asyncio.Event()
        are_open = asyncio.Barrier(4)

        async def keep_busy() -> None:
            async with database.dedicated_connection(60) as other:
                await are_open.wait()
                while not is_recognized.is_set():
                    await other.execute("SELECT pg_sleep(0.001)")

        others = [asyncio.create_task(keep_busy()) for _ in range(3)]
        await are_open.wait()
        with pytest.raises(PoolerNotSupported):
            for _ in range(20):
                await check_pooler(database)
        is_recognized.set()
        await asyncio.gather(*others)

    use(f"{pgbouncer}transaction", work, SESSION)


def test_no_session_is_used_again_after_a_pooler_was_recognized(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(database: Database) -> None:
        database.log_outages()
        lookups = open_lookups(database)
        assert await lookups.users_by_email.find("a") is None
        with pytest.raises(PoolerNotSupported, match="26000"):
            async with database.connection(), database.connection() as connection:
                await connection.execute("EXECUTE unknown")
        for _ in range(2):
            with pytest.raises(PoolerNotSupported, match=r"connect to Postgres directly: .*26000"):
                async with database.connection():
                    raise AssertionError("a connection was borrowed")
            with pytest.raises(PoolerNotSupported):
                async with database.dedicated_connection(1):
                    raise AssertionError("a connection was opened")
            with pytest.raises(PoolerNotSupported):
                await lookups.users_by_email.find("a")
        await lookups.close()

    use(dsn, work)
    [message] = caplog.messages
    assert message.endswith("26000: requests get 503 until a restart")


@pytest.mark.needs("pgbouncer")
def test_a_lookup_that_meets_a_pooler_ends_readiness_and_every_other_use(pgbouncer: str) -> None:
    async def work(database: Database) -> None:
        ours, theirs = open_lookups(database), open_lookups(database)
        assert await theirs.users_of_tokens.find(str(UUID(int=0))) is None
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable) as raised:
                await Readiness(ours).check_ready()
            assert "use its session mode" in str(raised.value.__cause__)
        with pytest.raises(PoolerNotSupported, match="42P05"):
            async with database.connection():
                raise AssertionError("a connection was borrowed")
        for each in (ours, theirs):
            await each.close()

    use(f"{pgbouncer}transaction", work, SESSION)


async def nothing(_: Database) -> None:
    pass


@pytest.mark.needs("pgbouncer")
def test_an_undeclared_pooler_is_rejected_and_nothing_is_set_in_its_sessions(
    pooled: PooledDatabase,
) -> None:
    for mode in ("session", "transaction", "statement"):
        url = pooled.url.replace("/transaction", f"/{mode}")
        with pytest.raises(UndeclaredPooler, match=r"set database\.pooler to its mode"):
            use(url, nothing)
    assert pooled.leftovers() == []


@pytest.mark.needs("pgbouncer")
def test_a_pooler_that_ends_transactions_is_rejected(postgres: str) -> None:
    with pooled_database(postgres, "statements") as pooled:
        with pytest.raises(WrongPooler, match="use its transaction mode"):
            use(pooled.url.replace("/transaction", "/statement"), check_pooler, TRANSACTION)
        use(pooled.url, check_pooler, TRANSACTION)


def test_a_direct_connection_is_reported_if_the_settings_name_a_pooler(postgres: str) -> None:
    found = []

    async def work(database: Database) -> None:
        found.extend(await find_pooler_risks(database))

    use(postgres, work, SESSION)
    assert found == ['database.pooler is "session", and database.url leads to Postgres directly.']
    use(postgres, work)
    assert len(found) == 1


@pytest.mark.needs("pgbouncer")
def test_the_pooler_has_to_lead_to_the_database_of_the_direct_url(postgres: str) -> None:
    with pooled_database(postgres, "pooled") as pooled, new_database(postgres, "other") as other:

        async def work(direct: Database) -> None:
            location = await get_location(direct)

            database = await Database.open(pooled.url, TRANSACTION)
            try:
                assert await find_pooler_risks(database) == []
                await check_location(database, location)
            finally:
                await database.close()

        use(pooled.direct, work)
        with pytest.raises(WrongPooler, match=r"database pooled, .* database other"):
            use(other, work)


@pytest.mark.needs("pgbouncer")
def test_the_statements_of_the_error_set_what_the_role_lacks(postgres: str) -> None:
    with pooled_database(postgres, "bare") as pooled:
        run_sql(pooled.direct, "ALTER ROLE userauth IN DATABASE bare RESET ALL")
        run_sql(pooled.direct, "ALTER DATABASE bare SET synchronous_commit = off")
        run_sql(pooled.direct, "ALTER DATABASE bare SET TimeZone = 'Asia/Tokyo'")
        pooled.reconnect()
        with pytest.raises(RoleSettingsMissing) as raised:
            use(pooled.url, nothing, TRANSACTION)
        statements = str(raised.value).partition("PgBouncer: ")[2]
        assert statements.startswith("ALTER ROLE userauth IN DATABASE bare SET statement_timeout")
        run_sql(pooled.direct, statements)
        pooled.reconnect()
        use(pooled.url, nothing, TRANSACTION)


@pytest.mark.needs("pgbouncer")
def test_a_reconnect_closes_the_sessions_that_a_restore_would_take_for_servers(
    pooled: PooledDatabase,
) -> None:
    use(pooled.url, nothing, TRANSACTION)
    with plain_connection(pooled.direct) as connection:
        assert connection.value(COUNT_OTHER_CONNECTIONS) >= 1
        pooled.reconnect()
        reject_other_connections(connection)


@pytest.mark.needs("pgbouncer")
def test_the_documented_statements_are_enough_for_the_default_settings(postgres: str) -> None:
    page = (ROOT / "docs" / "database.md").read_text(encoding="utf-8")
    statements = re.findall(
        r"^ *(ALTER ROLE userauth IN DATABASE userauth .*;)$", page, re.MULTILINE
    )
    assert len(statements) == 7
    with pooled_database(postgres, "userauth") as pooled:
        run_sql(pooled.direct, "ALTER ROLE userauth IN DATABASE userauth RESET ALL")
        run_sql(pooled.direct, "CREATE SCHEMA userauth")
        run_sql(pooled.direct, "ALTER TABLE userauth_schema SET SCHEMA userauth")
        for statement in statements:
            run_sql(pooled.direct, statement)
        database = load_settings({}, ROOT / "settings.toml").database
        limits = replace(
            TRANSACTION,
            acquire_timeout_seconds=database.acquire_timeout_seconds,
            query_timeout_seconds=database.query_timeout_seconds,
        )
        pooled.reconnect()
        use(pooled.url, nothing, limits)
        with pytest.raises(RoleSettingsMissing):
            use(pooled.url, nothing, replace(limits, query_timeout_seconds=1))


@pytest.mark.needs("pgbouncer")
@pytest.mark.parametrize(
    "setting",
    [
        "statement_timeout = 0",
        "statement_timeout = '30s'",
        "idle_in_transaction_session_timeout = 0",
        "lock_timeout = '30s'",
        "synchronous_commit = local",
        "default_transaction_isolation = 'repeatable read'",
        "array_nulls = off",
        "client_min_messages = error",
        "transaction_timeout = '1min'",
    ],
)
def test_a_setting_that_another_client_left_in_a_session_is_recognized(
    pooled: PooledDatabase, setting: str
) -> None:
    name = setting.partition(" ")[0]
    run_sql(pooled.url, f"SET {setting}")
    try:
        with pytest.raises(RoleSettingsMissing, match=f"IN DATABASE shared SET {name} = "):
            use(pooled.url, nothing, TRANSACTION)
    finally:
        run_sql(pooled.url, f"RESET {name}")
    use(pooled.url, nothing, TRANSACTION)


@pytest.mark.needs("pgbouncer")
def test_a_search_path_that_another_client_left_is_recognized_if_the_pooler_keeps_it(
    pooled: PooledDatabase,
) -> None:
    """PgBouncer 1.26 and later set it for each client, if Postgres reports it, as 18 does."""
    left = "userauth, public"
    run_sql(pooled.url, f"SET search_path = {left}")
    try:
        if run_sql(pooled.url, "SHOW search_path") == [(left,)]:
            with pytest.raises(RoleSettingsMissing, match="IN DATABASE shared SET search_path = "):
                use(pooled.url, nothing, TRANSACTION)
        else:
            use(pooled.url, nothing, TRANSACTION)
    finally:
        run_sql(pooled.url, "RESET search_path")
    use(pooled.url, nothing, TRANSACTION)


@pytest.mark.needs("pgbouncer")
def test_a_transaction_keeps_its_promises_in_a_session_that_another_client_changed(
    pooled: PooledDatabase,
) -> None:
    changes = "SET synchronous_commit = off; SET search_path = pg_temp"
    shown = "SELECT current_setting('synchronous_commit'), current_setting('search_path')"

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute(changes)
            async with connection.transaction():
                assert await connection.fetch_one(shown) == ("on", "public, pg_temp")
            assert await connection.fetch_one(shown) == ("off", "pg_temp")
            await connection.execute("RESET synchronous_commit; RESET search_path")

    use(pooled.url, work, TRANSACTION)
    assert pooled.leftovers() == []


@pytest.mark.needs("pgbouncer")
def test_a_lookup_searches_its_schema_in_a_session_that_another_client_changed(
    pooled: PooledDatabase,
) -> None:
    async def work(database: Database) -> None:
        lookups = open_lookups(database)
        assert await lookups.users_by_email.find("unknown") is None
        async with database.connection() as connection:
            await connection.execute("SET search_path = pg_temp")
            assert await lookups.users_by_email.find("unknown") is None
            await connection.execute("RESET search_path")
        await lookups.close()

    use(pooled.url, work, TRANSACTION)


@pytest.mark.needs("pgbouncer")
def test_a_lookup_through_a_pooler_is_not_compiled(pooled: PooledDatabase) -> None:
    async def work(database: Database) -> None:
        assert await setting_of_lookups(database, "jit") == "off"

    run_sql(pooled.url, "SET jit = on")
    try:
        use(pooled.url, work, TRANSACTION)
    finally:
        run_sql(pooled.url, "RESET jit")


@pytest.mark.needs("pgbouncer")
def test_a_lookup_through_a_pooler_does_not_count_if_the_schema_needs_a_newer_server(
    pooled: PooledDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(database: Database) -> None:
        database.log_outages()
        lookups = open_lookups(database)
        assert await lookups.users_by_email.find("unknown") is None
        run_sql(pooled.direct, "UPDATE userauth_schema SET compatible_since = version + 1")
        with pytest.raises(ServerTooOld, match="start a newer server"):
            await lookups.users_by_email.find("unknown")
        await lookups.close()

    try:
        use(pooled.url, work, TRANSACTION)
    finally:
        run_sql(pooled.direct, "UPDATE userauth_schema SET compatible_since = version")
    [message] = caplog.messages
    assert message.endswith("requests get 503 until a restart")


@pytest.mark.needs("pgbouncer")
def test_every_connection_is_replaced_once_a_session_lacks_its_settings(
    pooled: PooledDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(database: Database) -> None:
        database.log_outages()
        generation = database.generation
        async with database.connection() as connection:
            await connection.execute("SET lock_timeout = 0")
            with pytest.raises(RoleSettingsMissing):
                async with database.dedicated_connection(1):
                    raise AssertionError("a connection was opened")
            await connection.execute("RESET lock_timeout")
        assert database.generation == generation + 1
        async with database.connection() as connection:
            assert await connection.fetch_one("SELECT 1") == (1,)

    use(pooled.url, work, TRANSACTION)
    [message] = caplog.messages
    assert message.endswith("requests get 503 until they are set")


@pytest.fixture(scope="module")
def pooled(postgres: str) -> Iterator[PooledDatabase]:
    """Run a pool of one session, which each connection uses."""
    with pooled_database(postgres, "shared", pool_size=1) as pooled:
        yield pooled


@pytest.mark.needs("pgbouncer")
def test_lookups_through_a_pooler_find_rows_and_prepare_nothing(pooled: PooledDatabase) -> None:
    run_sql(
        pooled.direct, "INSERT INTO users (email, email_key, password_hash) VALUES ('a', 'a', 'x')"
    )

    async def work(database: Database) -> None:
        lookups, others = open_lookups(database), open_lookups(database)
        for each in (lookups, others, lookups):
            found = await asyncio.gather(*map(each.users_by_email.find, ("a", "b%s$1")))
            assert [row is not None for row in found] == [True, False]
            assert await each.users_of_tokens.find(str(UUID(int=0))) is None
            assert await each.owners_of_tokens.find(str(UUID(int=0))) is None
            assert await each.sessions.find(str(UUID(int=0))) is None
            assert await each.secrets_of_clients.find("a") is None
            assert await each.attempt_counts.find("a") is None
        await lookups.close()
        await others.close()

    use(pooled.url, work, TRANSACTION)
    assert pooled.leftovers() == []


@pytest.mark.needs("pgbouncer")
def test_a_lookup_uses_indexes_although_the_statistics_are_of_empty_tables(
    pooled: PooledDatabase,
) -> None:
    tables = ("users", "tokens", "clients", "throttle")
    run_sql(pooled.direct, f"ANALYZE {', '.join(tables)}")
    # Counts the scan of the insertion now, not at some time after its session has ended.
    run_sql(pooled.direct, f"SELECT pg_stat_force_next_flush(); {_INSERT_MANY}")

    def sequential_scans() -> list[int]:
        # In the only session, which counts its scans.
        run_sql(pooled.url, "SELECT pg_stat_force_next_flush()")
        sql = "SELECT pg_stat_get_numscans(to_regclass(name)) FROM unnest(%s) AS name"
        return [row[0] for row in run_sql(pooled.url, sql, (list(tables),))]

    async def work(database: Database) -> None:
        lookups = open_lookups(database)
        ids = [str(UUID(int=number)) for number in range(1, 50)]
        for lookup in (lookups.users_of_tokens, lookups.owners_of_tokens, lookups.sessions):
            await asyncio.gather(*map(lookup.find, ids))
        for other in (lookups.users_by_email, lookups.secrets_of_clients, lookups.attempt_counts):
            await asyncio.gather(*(other.find(f"many {number}") for number in range(50)))
        await lookups.close()

    before = sequential_scans()
    use(pooled.url, work, TRANSACTION)
    assert sequential_scans() == before


_INSERT_MANY = """
INSERT INTO users (id, email, email_key, password_hash)
SELECT lpad(n::text, 32, '0')::uuid, 'many ' || n, 'many ' || n, 'x'
FROM generate_series(1, 3000) n;
INSERT INTO tokens (id, user_id, created_at, expires_at)
SELECT id, id, now(), now() FROM users WHERE email LIKE 'many %';
INSERT INTO clients (id, name, secret_digest, created_at, secret_made_at)
SELECT 'many ' || n, 'many ' || n, '', now(), now() FROM generate_series(1, 3000) n;
INSERT INTO throttle (subject, failures, last_at)
SELECT 'many ' || n, 0, clock_timestamp() FROM generate_series(1, 3000) n;
"""
