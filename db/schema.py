"""The schema in the database: its version is checked, created or migrated."""

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from db.errors import Locked, SchemaError
from db.event_partitions import create_partition, missing_months
from db.pool import Connection, Database
from db.schema_lock import (
    FIND_HOLDER,
    LOCK,
    LOCK_WAIT,
    SET_LOCK_TIMEOUT,
    TAKE_LOCK,
    LockWait,
    read_holder,
    timeout_message,
)
from db.schema_privileges import FIND_PRIVILEGES, check_privileges
from db.schema_state import get_state
from db.schema_version import VERSION, too_old
from ops.logs import SERVER

MIGRATIONS = Path(__file__).parent / "migrations"
# The complete schema of each earlier version, for restoring older backups.
SCHEMAS = Path(__file__).parent / "schemas"
# All tables; each comes after those that it references.
TABLES = (
    "userauth_schema",
    "digest_key",
    "users",
    "tokens",
    "clients",
    "throttle",
    "events",
    "reserved_emails",
    "messages",
)
FIND_TABLES = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL"
# Only tables in the schema of userauth_schema are ours: others may have the same names.
FIND_OWN_TABLES = """
SELECT nspname, relname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE relname = ANY (%s::text[]) AND relkind IN ('r', 'p') AND relnamespace = (
    SELECT relnamespace FROM pg_class WHERE oid = to_regclass('userauth_schema')
)
"""
MIN_POSTGRES = 13
# The version of Postgres as a number, and the encoding of the database.
CLUSTER = (
    "SELECT current_setting('server_version_num')::integer, current_setting('server_encoding')"
)
TABLE_LOCK_MILLISECONDS = 5000
# The time limit of migrations, once the lock is held. A migration that it ends is rolled back, and
# starts again at the next startup.
_MAX_MIGRATION_SECONDS = 86_400.0


async def apply_schema(
    database: Database,
    schema: str,
    *,
    may_migrate: bool = True,
    lock_wait: LockWait = LOCK_WAIT,
) -> None:
    """Create the schema, or migrate it to the current version, in one transaction.

    ``schema`` is the text of schema.sql. Raises SchemaError, with advice for the administrator, if
    the database cannot be used: for its cluster, encoding, version, or rights of other roles, or
    because another session holds the lock.
    """
    seconds = lock_wait.userauth_seconds + _MAX_MIGRATION_SECONDS
    async with database.transaction(seconds) as connection:
        await _check_cluster_and_privileges(connection)
        await connection.execute("SET LOCAL statement_timeout = 0")
        await _take_lock(connection, lock_wait)
        version = await find_version(connection)
        if version is None:
            await _create(connection, schema)
            return
        await _check_compatible(connection, version)
        if version < VERSION and not may_migrate:
            raise SchemaError(
                f"The database has schema version {version}: start the server, which migrates it"
                f" to version {VERSION}."
            )
        await _migrate(connection, version)


async def check_schema(database: Database) -> None:
    """Raise SchemaError if the database cannot be used; change nothing."""
    async with database.connection() as connection:
        await _check_cluster_and_privileges(connection)
        version = await find_version(connection)
        if version is None:
            await _check_name_conflicts(connection)
        else:
            await _check_compatible(connection, version)


async def _check_compatible(connection: Connection, version: int) -> None:
    """Reject a schema that this server must not use; log one that is newer."""
    if version <= VERSION:
        return
    state = await get_state(connection)
    if reason := too_old(state.version, state.compatible_since):
        raise SchemaError(f"{reason}.")
    logging.getLogger(SERVER).warning(
        "the database has schema version %d, and this server version %d: it runs beside newer"
        " servers until a later version requires an upgrade",
        version,
        VERSION,
    )


async def _check_cluster_and_privileges(connection: Connection) -> None:
    """Reject a cluster that is too old, and a schema in which other roles have rights."""
    row = await connection.fetch_one(CLUSTER)
    check_cluster(*(row or (0, "")))
    check_privileges(await connection.fetch_all(FIND_PRIVILEGES, (list(TABLES),)))


async def _migrate(connection: Connection, version: int) -> None:
    # Statements queue behind one that waits for an exclusive lock on their table.
    await connection.execute(f"SET LOCAL lock_timeout = {TABLE_LOCK_MILLISECONDS}")
    for migration in migrations(version):
        await connection.execute(migration)


async def _create(connection: Connection, schema: str) -> None:
    """Create the schema, and the first partition of events: an import may precede any server."""
    await _check_name_conflicts(connection)
    await connection.execute(schema)
    row = await connection.fetch_one("SELECT now()")
    for month in missing_months([], row[0], 1) if row else ():
        await create_partition(connection, month)


async def _take_lock(connection: Connection, wait: LockWait) -> None:
    """Take the lock of the schema; raises SchemaError at the end of the wait."""
    clock = asyncio.get_running_loop().time
    began = clock()
    await connection.execute(SET_LOCK_TIMEOUT, (wait.lock_timeout,))
    while True:
        await connection.execute("SAVEPOINT unlocked")
        try:
            await connection.execute(TAKE_LOCK, (LOCK,))
        except Locked:
            await connection.execute("ROLLBACK TO SAVEPOINT unlocked")
        else:
            return
        holder = read_holder(await connection.fetch_all(FIND_HOLDER, (LOCK,)))
        if wait.has_ended(holder, clock() - began):
            raise SchemaError(timeout_message(holder))
        logging.getLogger(SERVER).warning("waiting for the lock of the schema, held by %s", holder)


def migrations(version: int) -> list[str]:
    """Return the migrations from a version to the current one."""
    return [
        (MIGRATIONS / f"{number}.sql").read_text(encoding="utf-8")
        for number in range(version + 1, VERSION + 1)
    ]


def schema_of(version: int, schema: str) -> str:
    """Return the schema of a version; ``schema`` is the current one."""
    if version == VERSION:
        return schema
    return (SCHEMAS / f"{version}.sql").read_text(encoding="utf-8")


def check_version(version: int) -> None:
    """Reject a schema, for a backup or a restore, whose tables this server does not know."""
    if version > VERSION:
        raise SchemaError(
            f"The database has schema version {version}, and this server supports up to version"
            f" {VERSION}: start a newer server."
        )


def check_cluster(number: int, encoding: str) -> None:
    """Reject a Postgres that is too old, by its server_version_num, or not in UTF-8."""
    if number < MIN_POSTGRES * 10_000:
        raise SchemaError(
            f"Postgres {number // 10_000} is too old: use Postgres {MIN_POSTGRES} or newer."
        )
    if encoding != "UTF8":
        raise SchemaError(
            f"The encoding of the database is {encoding}: create it with ENCODING 'UTF8'."
        )


async def find_version(connection: Connection) -> int | None:
    """Return the version of the schema, or None if it does not exist."""
    row = await connection.fetch_one("SELECT to_regclass('userauth_schema') IS NOT NULL")
    if row is None or not row[0]:
        return None
    row = await connection.fetch_one("SELECT version FROM userauth_schema")
    return None if row is None else int(row[0])


async def _check_name_conflicts(connection: Connection) -> None:
    check_name_conflicts(row[0] for row in await connection.fetch_all(FIND_TABLES, (list(TABLES),)))


def check_name_conflicts(tables: Iterable[str]) -> None:
    """Reject a schema in which tables with our names already exist."""
    names = " and ".join(tables)
    if names:
        raise SchemaError(
            f"The database already has {names}, which this server did not create: give it a"
            " database or a search_path of its own."
        )
