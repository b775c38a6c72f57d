"""The settings of each session, whatever the defaults of the role and the database."""

import re
from dataclasses import replace
from urllib.parse import quote

import pytest

from db.pool import Database
from db.role_settings import CHECK_PARAMETERS
from db.session_settings import SET_SESSION
from postgres.plain_connection import plain_connection
from settings.choices import Pooler
from tests.harness.configuration import ROOT
from tests.harness.databases import new_database, use
from tests.harness.pgbouncer import set_role
from tests.harness.pool_limits import LIMITS
from tests.harness.sql import run_sql

TRANSACTION = replace(LIMITS, pooler=Pooler.TRANSACTION)
SECTION = "## Settings of the sessions"
# What Postgres reports for "no limit".
NO_LIMIT = "0"


@pytest.mark.parametrize("name", ["transaction_timeout", "idle_session_timeout"])
def test_no_session_is_ended_by_a_default_of_the_database(postgres: str, name: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            assert await connection.fetch_one(f"SHOW {name}") == (NO_LIMIT,)

    with new_database(postgres, f"with_{name}") as dsn:
        run_sql(dsn, f"ALTER DATABASE with_{name} SET {name} = '1min'")
        use(dsn, work)
        with plain_connection(dsn) as connection:
            assert connection.value(f"SHOW {name}") == NO_LIMIT


@pytest.mark.parametrize("search_path", ["public, pg_temp", 'public,"pg_temp"', "PUBLIC, pg_temp"])
def test_a_search_path_counts_however_it_is_written(postgres: str, search_path: str) -> None:
    async def work(database: Database) -> None:
        async with database.transaction() as connection:
            assert await connection.fetch_one("SELECT current_schema()") == ("public",)

    with new_database(postgres, "quoted") as dsn:
        set_role(dsn, "quoted")
        # A cluster's configuration file is kept as it is written.
        run_sql(dsn, "ALTER ROLE userauth IN DATABASE quoted RESET search_path")
        run_sql(dsn, "ALTER DATABASE quoted SET quote_all_identifiers = on")
        options = quote(f"-csearch_path={search_path}".replace(" ", "\\ "))
        use(f"{dsn}&options={options}", work, TRANSACTION)


def documented() -> dict[str, str]:
    """Return the last column of the table of settings, by the first one."""
    page = (ROOT / "docs" / "database.md").read_text(encoding="utf-8")
    section = page.partition(f"{SECTION}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {name: row[-1] for row in rows for name in re.findall(r"`(\w+)`", row[0])}


def test_each_setting_of_a_session_is_documented() -> None:
    assert sorted(re.findall(r"set_config\(\s*'(\w+)'", SET_SESSION)) == sorted(documented())


def test_each_setting_that_a_role_needs_behind_a_pooler_is_documented() -> None:
    needed = {name for name, behind_pooler in documented().items() if behind_pooler != "any"}
    assert needed == set(CHECK_PARAMETERS["names"])
