"""What a server finds out about its database when it starts."""

import asyncio
from collections.abc import Sequence

import pytest

from db.schema import SCHEMAS
from tests.harness.configuration import KEY, settings_with
from tests.harness.databases import fill, new_database
from tests.harness.sql import run_sql
from wiring.application import open_application
from wiring.database import open_database
from wiring.errors import StartError


@pytest.mark.parametrize(
    ("pool_max", "processes", "expected"),
    [(10, 1, []), (13, 2, ["opens up to 20 connections", "the 2 processes of this machine 40,"])],
)
def test_a_server_that_may_open_more_connections_than_postgres_allows_starts_with_a_warning(
    postgres: str,
    caplog: pytest.LogCaptureFixture,
    pool_max: int,
    processes: int,
    expected: Sequence[str],
) -> None:
    async def start(dsn: str) -> None:
        settings = settings_with(
            DATABASE__URL=dsn, DATABASE__POOL_MAX=pool_max, SERVER__PROCESSES=processes
        )
        async with open_application(settings, [KEY], dsn):
            pass

    with new_database(postgres, "narrow") as dsn:
        run_sql(dsn, "ALTER DATABASE narrow CONNECTION LIMIT 20")
        asyncio.run(start(dsn))
    warnings = [each.getMessage() for each in caplog.records if "pool_max" in each.getMessage()]
    assert len(warnings) == bool(expected)
    assert all(text in warnings[0] for text in expected)


@pytest.mark.parametrize("is_direct", [False, True])
def test_a_database_that_must_not_be_migrated_keeps_its_version(
    postgres: str, *, is_direct: bool
) -> None:
    async def start(dsn: str) -> None:
        settings = settings_with(DATABASE__URL=dsn, DATABASE__DIRECT_URL=dsn if is_direct else "")
        async with open_database(settings, dsn, may_migrate=False):
            pass

    with new_database(postgres, "earlier") as dsn:
        fill(dsn, SCHEMAS / "4.sql")
        with pytest.raises(StartError, match="start the server, which migrates it"):
            asyncio.run(start(dsn))
        assert run_sql(dsn, "SELECT version FROM userauth_schema") == [(4,)]
