"""A pooler that shares the sessions of Postgres: PgBouncer in transaction mode."""

import asyncio
from collections.abc import Iterator
from uuid import UUID

import pytest

from db.errors import PoolerNotSupported
from db.lookups import open_lookups
from db.pool import Database
from db.pooler import check_sessions
from rules.errors import DatabaseUnavailable
from services.readiness import Readiness
from tests.harness.databases import use
from tests.harness.pgbouncer import running_pgbouncer


@pytest.fixture
def pgbouncer(dsn: str) -> Iterator[str]:
    with running_pgbouncer(dsn) as url:
        yield url


@pytest.mark.needs("pgbouncer")
def test_a_pooler_in_transaction_mode_is_recognized_and_one_in_session_mode_accepted(
    pgbouncer: str,
) -> None:
    use(f"{pgbouncer}session", check_sessions)

    async def work(database: Database) -> None:
        with pytest.raises(PoolerNotSupported, match="connections share sessions"):
            await check_sessions(database)

    use(f"{pgbouncer}transaction", work)


@pytest.mark.needs("pgbouncer")
def test_a_pooler_is_recognized_while_others_use_its_sessions(pgbouncer: str) -> None:
    async def work(database: Database) -> None:
        is_recognized = asyncio.Event()

        async def keep_busy() -> None:
            async with database.dedicated_connection(60) as other:
                while not is_recognized.is_set():
                    await other.execute("SELECT pg_sleep(0.001)")

        others = [asyncio.create_task(keep_busy()) for _ in range(3)]
        with pytest.raises(PoolerNotSupported):
            for _ in range(20):
                await check_sessions(database)
        is_recognized.set()
        await asyncio.gather(*others)

    use(f"{pgbouncer}transaction", work)


def test_no_session_is_used_again_after_a_pooler_was_recognized(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(database: Database) -> None:
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

    use(f"{pgbouncer}transaction", work)
