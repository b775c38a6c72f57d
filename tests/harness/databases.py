"""Databases of a test's own, and the schema brought into them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from db.pool import Database
from db.schema import apply_schema
from tests.harness.configuration import ROOT
from tests.harness.pool_limits import LIMITS
from tests.harness.sql import run_sql

SCHEMA = (ROOT / "schema.sql").read_text(encoding="utf-8")


@contextmanager
def new_database(postgres: str, name: str) -> Iterator[str]:
    """Make a database with nothing in it, for the length of the block."""
    run_sql(postgres, f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    yield postgres.replace("@/postgres?", f"@/{name}?")
    run_sql(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def apply(dsn: str) -> None:
    """Bring the schema into a database, as the server does."""

    async def run() -> None:
        database = await Database.open(dsn, LIMITS)
        try:
            await apply_schema(database, SCHEMA)
        finally:
            await database.close()

    asyncio.run(run())
