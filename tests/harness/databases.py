"""Databases that a test creates, and the schemas that it creates in them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from db.connecting import PoolLimits
from db.pool import Database
from db.schema import apply_schema
from services.housekeeping import Housekeeping
from services.peers import Peers
from services.registration import Registration
from tests.harness.configuration import ROOT
from tests.harness.pool_limits import LIMITS
from tests.harness.sql import run_sql

SCHEMA = (ROOT / "schema.sql").read_text(encoding="utf-8")


TABLES = ("tokens", "users", "clients", "throttle", "events", "reserved_emails", "messages")


def delete_rows(dsn: str) -> None:
    """Delete all users, and what belongs to them."""
    # TRUNCATE would take three times as long, since it creates and removes files.
    run_sql(dsn, "".join(f"DELETE FROM {table};" for table in TABLES))  # noqa: S608


@contextmanager
def unchecked_schema() -> Iterator[None]:
    """Open applications on a database that is known to have the schema, in a safe cluster.

    The checks take a third of the time of a test with an application. tests/db/ and the tests that
    start processes run them.
    """

    async def skip(*_: object, **__: object) -> None:
        pass

    with (
        patch("wiring.database.check_pooler", skip),
        patch("wiring.database.apply_schema", skip),
        patch("wiring.application.warn_of_risks", skip),
    ):
        yield


@contextmanager
def idle_housekeeping() -> Iterator[None]:
    """Open applications that delete no expired rows: the first search takes half of a short test.

    They do not look for other servers either. tests/wiring/test_tasks.py runs both.
    """

    async def wait(_: object) -> float:
        return 3600.0

    with (
        patch.object(Housekeeping, "remove", wait),
        patch.object(Registration, "remove_void", wait),
        patch.object(Peers, "look", wait),
    ):
        yield


@contextmanager
def new_database(postgres: str, name: str) -> Iterator[str]:
    """Create an empty database for the duration of the block."""
    run_sql(postgres, f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    try:
        yield postgres.replace("@/postgres?", f"@/{name}?")
    finally:
        run_sql(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def apply(dsn: str) -> None:
    """Apply the current schema, as the server does."""

    async def run() -> None:
        database = await Database.open(dsn, LIMITS)
        try:
            await apply_schema(database, SCHEMA)
        finally:
            await database.close()

    asyncio.run(run())


def use(dsn: str, work: Callable[[Database], Awaitable[None]], limits: PoolLimits = LIMITS) -> None:
    """Run work with an open database, and close it afterwards."""

    async def run() -> None:
        database = await Database.open(dsn, limits)
        try:
            await work(database)
        finally:
            await database.close()

    asyncio.run(run())


# The columns, constraints, indexes and options of every table; of its partitions, which have the
# same, only the default one.
DESCRIBE = """
WITH months AS (
    SELECT oid, relname FROM pg_class
    WHERE relispartition AND pg_get_expr(relpartbound, oid) <> 'DEFAULT'
)
SELECT 'column', table_name::text, column_name::text, data_type::text, is_nullable::text,
    column_default::text || is_identity
FROM information_schema.columns
WHERE table_schema = 'public' AND table_name NOT IN (SELECT relname FROM months)
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), '', ''
FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid NOT IN (SELECT oid FROM months)
UNION ALL
SELECT 'index', tablename::text, indexname::text, indexdef, '', ''
FROM pg_indexes
WHERE schemaname = 'public' AND tablename NOT IN (SELECT relname FROM months)
UNION ALL
SELECT 'options', oid::regclass::text, '', array_to_string(reloptions, ','), '', ''
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    AND oid NOT IN (SELECT oid FROM months)
"""


def fill(dsn: str, schema: Path) -> None:
    """Create the tables of an earlier schema, and rows in them."""
    run_sql(dsn, schema.read_text(encoding="utf-8"))
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, name, password_hash, password_version)"
        " VALUES ('Susan@example.com', 'susan@example.com', 'Susan', 'a hash', 3);"
        " INSERT INTO tokens (id, user_id, created_at, expires_at, revoked_at)"
        " SELECT gen_random_uuid(), id, '2026-01-01Z', '2026-01-02Z',"
        "  CASE n WHEN 1 THEN timestamptz '2026-01-01 12:00Z' END"
        " FROM users, generate_series(1, 3) AS n",
    )


def data(dsn: str) -> list[object]:
    """Return the rows that ``fill`` has inserted."""
    return [
        run_sql(dsn, "SELECT email, name, password_hash, password_version FROM users"),
        run_sql(dsn, "SELECT id, user_id, created_at, expires_at, revoked_at FROM tokens"),
    ]
