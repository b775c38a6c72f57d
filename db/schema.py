"""Bringing the schema into the database, once, however many processes start at a time."""

from pathlib import Path

from db.errors import SchemaError
from db.pool import Connection, Database

VERSION = 3
MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_POSTGRES = 13
# Any number will do, as long as nothing else in the database locks it: "user" in ASCII.
_LOCK = 0x75736572
# Another process may be at it; that is no reason to give up.
_LOCK_TIMEOUT_SECONDS = 600.0
_TABLE_LOCK_MILLISECONDS = 5000


async def apply_schema(database: Database, schema: str, *, may_migrate: bool = True) -> None:
    """Apply the text of schema.sql to a database that has none of it, or bring it up to date.

    A database of an earlier version gets one file of db/migrations after the other; all of it
    is one transaction. Where it may not, an earlier version is refused. Raises SchemaError,
    with a sentence for the operator, where the database cannot be used: it is too old, is
    not in UTF-8, or holds a schema that this server does not know.
    """
    async with database.transaction(_LOCK_TIMEOUT_SECONDS) as connection:
        await _check_cluster(connection)
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        version = await _find_version(connection)
        if version is None:
            await _check_room(connection)
            await connection.execute(schema)
            return
        if version > VERSION:
            raise SchemaError(
                f"The database holds schema version {version}, this server knows version "
                f"{VERSION}: start the server that belongs to it."
            )
        if version < VERSION and not may_migrate:
            raise SchemaError(
                f"The database holds schema version {version}: start the server, which brings it"
                f" to version {VERSION}."
            )
        # Whoever wants a table for itself makes everybody behind it wait.
        await connection.execute(f"SET LOCAL lock_timeout = {_TABLE_LOCK_MILLISECONDS}")
        for number in range(version + 1, VERSION + 1):
            migration = MIGRATIONS / f"{number}.sql"
            await connection.execute(migration.read_text(encoding="utf-8"))


async def _check_cluster(connection: Connection) -> None:
    row = await connection.fetch_one(
        "SELECT current_setting('server_version_num')::integer, current_setting('server_encoding')"
    )
    number, encoding = row or (0, "")
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
    rows = await connection.fetch_all(
        "SELECT name FROM unnest(ARRAY['users', 'tokens', 'clients', 'throttle', 'events']) AS name"
        " WHERE to_regclass(name) IS NOT NULL"
    )
    if rows:
        names = " and ".join(row[0] for row in rows)
        raise SchemaError(
            f"The database already has {names}, which are not this server's:"
            " give it a database or a search_path of its own."
        )
