"""Bringing the schema into the database, once, however many processes start at a time."""

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from db.errors import Locked, SchemaError
from db.pool import Connection, Database
from db.schema_lock import FIND_HOLDER, LOCK, PATIENCE, TAKE, Patience, holder_in, refusal
from db.strangers import FIND_STRANGERS, strangers_in
from ops.logs import SERVER

VERSION = 4
MIGRATIONS = Path(__file__).parent / "migrations"
# The whole schema as each version before this one had it: what an older backup fits into.
SCHEMAS = Path(__file__).parent / "schemas"
# All tables, in an order in which each comes after those that it refers to.
TABLES = (
    "userauth_schema",
    "digest_key",
    "users",
    "tokens",
    "clients",
    "throttle",
    "events",
    "reserved_emails",
)
FIND_TABLES = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL"
# Of these, what lies beside our schema's version: another user of the database may have the rest.
FIND_OURS = """
SELECT nspname, relname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE relname = ANY (%s::text[]) AND relkind = 'r' AND relnamespace = (
    SELECT relnamespace FROM pg_class WHERE oid = to_regclass('userauth_schema')
)
"""
OLDEST_POSTGRES = 13
# The version of the cluster as a number, and its encoding.
CLUSTER = (
    "SELECT current_setting('server_version_num')::integer, current_setting('server_encoding')"
)
TABLE_LOCK_MILLISECONDS = 5000
# What a migration may take, once it is its turn. One that is cut off is rolled back, and each start
# begins it anew.
_MOST_SECONDS = 86_400.0


async def apply_schema(
    database: Database,
    schema: str,
    *,
    may_migrate: bool = True,
    patience: Patience = PATIENCE,
) -> None:
    """Apply the text of schema.sql to a database that has none of it, or bring it up to date.

    A database of an earlier version gets one file of db/migrations after the other; all of it
    is one transaction. Where it may not, an earlier version is refused. Raises SchemaError,
    with a sentence for the operator, where the database cannot be used: it is too old, is
    not in UTF-8, holds a schema that this server does not know, is open to functions of other
    roles, or somebody else holds the lock.
    """
    async with database.transaction(patience.ours + _MOST_SECONDS) as connection:
        await _check_surroundings(connection)
        await connection.execute("SET LOCAL statement_timeout = 0")
        await _take_turn(connection, patience)
        version = await _find_version(connection)
        if version is None:
            await _check_room(connection)
            await connection.execute(schema)
            return
        check_version(version)
        if version < VERSION and not may_migrate:
            raise SchemaError(
                f"The database holds schema version {version}: start the server, which brings it"
                f" to version {VERSION}."
            )
        # Whoever wants a table for itself makes everybody behind it wait.
        await connection.execute(f"SET LOCAL lock_timeout = {TABLE_LOCK_MILLISECONDS}")
        for migration in migrations(version):
            await connection.execute(migration)


async def check_schema(database: Database) -> None:
    """Raise SchemaError where the database cannot be used; nothing is changed."""
    async with database.connection() as connection:
        await _check_surroundings(connection)
        version = await _find_version(connection)
        if version is None:
            await _check_room(connection)
        else:
            check_version(version)


async def _check_surroundings(connection: Connection) -> None:
    """Refuse a cluster that is too old, and a schema that is not ours alone."""
    row = await connection.fetch_one(CLUSTER)
    check_cluster(*(row or (0, "")))
    strangers_in(await connection.fetch_all(FIND_STRANGERS, (list(TABLES),))).refuse()


async def _take_turn(connection: Connection, patience: Patience) -> None:
    """Wait until nobody else looks at the schema; raises SchemaError where that does not end."""
    clock = asyncio.get_running_loop().time
    began = clock()
    await connection.execute(
        "SELECT set_config('lock_timeout', %s, true)", (patience.milliseconds,)
    )
    while True:
        await connection.execute("SAVEPOINT turn")
        try:
            await connection.execute(TAKE, (LOCK,))
        except Locked:
            await connection.execute("ROLLBACK TO SAVEPOINT turn")
        else:
            return
        holder = holder_in(await connection.fetch_all(FIND_HOLDER, (LOCK,)))
        if patience.is_over(holder, clock() - began):
            raise SchemaError(refusal(holder))
        logging.getLogger(SERVER).warning("waiting for the lock of the schema, held by %s", holder)


def migrations(version: int) -> list[str]:
    """Return the statements that bring a schema of a version up to date."""
    return [
        (MIGRATIONS / f"{number}.sql").read_text(encoding="utf-8")
        for number in range(version + 1, VERSION + 1)
    ]


def schema_of(version: int, schema: str) -> str:
    """Return the schema of a version, where ``schema`` is the present one."""
    if version == VERSION:
        return schema
    return (SCHEMAS / f"{version}.sql").read_text(encoding="utf-8")


def check_version(version: int) -> None:
    """Refuse a database whose schema is newer than what this server knows."""
    if version > VERSION:
        raise SchemaError(
            f"The database holds schema version {version}, this server knows version "
            f"{VERSION}: start the server that belongs to it."
        )


def check_cluster(number: int, encoding: str) -> None:
    """Refuse a Postgres that is too old, by its server_version_num, or not in UTF-8."""
    if number < OLDEST_POSTGRES * 10_000:
        raise SchemaError(
            f"Postgres {number // 10_000} is too old: use Postgres {OLDEST_POSTGRES} or newer."
        )
    if encoding != "UTF8":
        raise SchemaError(f"The database is in {encoding}: create it with ENCODING 'UTF8'.")


async def _find_version(connection: Connection) -> int | None:
    row = await connection.fetch_one("SELECT to_regclass('userauth_schema') IS NOT NULL")
    if row is None or not row[0]:
        return None
    row = await connection.fetch_one("SELECT version FROM userauth_schema")
    return None if row is None else int(row[0])


async def _check_room(connection: Connection) -> None:
    check_room(row[0] for row in await connection.fetch_all(FIND_TABLES, (list(TABLES),)))


def check_room(tables: Iterable[str]) -> None:
    """Refuse a database without our schema, but with tables of these names."""
    names = " and ".join(tables)
    if names:
        raise SchemaError(
            f"The database already has {names}, which are not this server's:"
            " give it a database or a search_path of its own."
        )
