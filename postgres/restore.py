"""Restores a backup: one transaction replaces the whole database, or changes nothing.

Nothing in a file is executed. The tables are created with our own schema in the version of the
backup, filled with its rows, and then migrated. pg_restore therefore only unpacks rows, and any
supported cluster can be the target. Other sessions see nothing until the commit; a server that
starts meanwhile waits for the lock of the schema.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg2 import sql

from db.errors import BackupError, DatabaseNotEmpty
from db.event_partitions import creation_of
from db.rows import NewEvent
from db.schema import (
    CLUSTER,
    FIND_OWN_TABLES,
    FIND_TABLES,
    TABLES,
    check_cluster,
    check_name_conflicts,
    check_version,
    migrations,
    schema_of,
)
from db.schema_privileges import FIND_PRIVILEGES, check_privileges
from db.schema_version import VERSION
from postgres.archives import Archive
from postgres.deferred_indexes import deferred_indexes
from postgres.exclusive_access import (
    reject_locked_tables,
    reject_other_connections,
    take_schema_lock,
)
from postgres.plain_connection import PlainConnection, plain_connection
from rules.counting import counted

# The last change of each user after the backup.
_FIND_CHANGES = """
SELECT DISTINCT ON (user_id) user_id::text, kind
FROM events
WHERE at >= %s AND kind = ANY (%s::text[])
ORDER BY user_id, id DESC
"""
_FIND_EMAILS = "SELECT id::text, email FROM users WHERE id = ANY (%s::uuid[]) ORDER BY email_key"
_REVOKE_TOKENS = """
WITH revoked AS (
    UPDATE tokens SET revoked_at = %s WHERE revoked_at IS NULL RETURNING user_id, expires_at
)
SELECT count(*) FROM revoked WHERE user_id IS NOT NULL AND expires_at > %s
"""
# With an index on the column, the revocation is no heap-only update. Postgres ignores an index that
# was built over heap-only updates while any older transaction is open.
_INDEX_REVOCATIONS = """
CREATE INDEX userauth_restored_tokens ON tokens (revoked_at) WHERE revoked_at = '-infinity'
"""
_COUNTS = {
    "users": "SELECT count(*) FROM users",
    "clients": "SELECT count(*) FROM clients",
    "tokens": """
SELECT count(*)
FROM tokens
WHERE user_id IS NOT NULL AND revoked_at IS NULL AND expires_at > clock_timestamp()
""",
}
_FIND_IDENTITY_COLUMNS = """
SELECT attrelid::regclass::text, attname::text
FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attidentity <> ''
"""


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """The options of a restore.

    ``schema`` is the text of schema.sql. ``event`` is inserted into the audit trail. Users whose
    last event after the backup is one of ``kinds`` are reported.
    """

    schema: str
    event: NewEvent
    may_replace: bool
    keeps_tokens: bool
    kinds: Sequence[str]


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The result of a restore: the number of users, and of valid tokens that it revoked.

    ``lost_events`` is the number of events in the replaced database; ``changed`` contains the email
    addresses of restored users by the kind of their last event there after the backup.
    ``migrated_from`` is the schema version of the backup, if it is an earlier one.
    """

    users: int
    revoked_tokens: int
    lost_events: int
    migrated_from: int | None
    changed: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class _Replaced:
    """The audit trail of the replaced database: its size, and the last changes by user id."""

    events: int = 0
    changes: Mapping[str, str] = field(default_factory=dict)


def restore(dsn: str, archive: Archive, options: RestoreOptions) -> RestoreResult:
    """Restore a backup into a database.

    Raises DatabaseNotEmpty, and changes nothing, if the database must not be replaced.
    """
    with plain_connection(dsn) as connection:
        check_cluster(*connection.fetch_all(CLUSTER)[0])
        check_privileges(connection.fetch_all(FIND_PRIVILEGES, (list(TABLES),)))
        with connection.transaction():
            take_schema_lock(connection)
            reject_other_connections(connection)
            replaced = _drop_tables(connection, archive, options)
            revoked = _fill(connection, archive, options)
            result = _finish(connection, archive, options, replaced, revoked)
        # Without statistics, Postgres would plan for empty tables.
        for name in TABLES:
            connection.execute(f"ANALYZE {name}")
    return result


def count_replaced(dsn: str) -> Mapping[str, int]:
    """Return how many users, clients and valid tokens a restore would replace."""
    with plain_connection(dsn) as connection:
        found = connection.fetch_all(FIND_OWN_TABLES, (list(TABLES),))
        return _count_rows(connection, [name for _, name in found])


def _count_rows(connection: PlainConnection, tables: Sequence[str]) -> Mapping[str, int]:
    """Return how many users, clients and valid tokens some tables contain."""
    return {
        name: int(connection.value(sql)) if name in tables else 0 for name, sql in _COUNTS.items()
    }


def _drop_tables(
    connection: PlainConnection, archive: Archive, options: RestoreOptions
) -> _Replaced:
    """Drop our tables if they may be replaced; return the summary of their audit trail."""
    found = connection.fetch_all(FIND_OWN_TABLES, (list(TABLES),))
    if not found:
        check_name_conflicts(row[0] for row in connection.fetch_all(FIND_TABLES, (list(TABLES),)))
        return _Replaced()
    tables = [name for _, name in found]
    identifiers = sql.SQL(", ").join(sql.Identifier(*names) for names in found)
    check_version(int(connection.value("SELECT version FROM userauth_schema")))
    replaced = _Replaced()
    with reject_locked_tables():
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(identifiers))
        if not options.may_replace:
            _reject_users(connection, tables)
        if "events" in tables:
            parameters = (archive.manifest.made_at, list(options.kinds))
            replaced = _Replaced(
                int(connection.value("SELECT count(*) FROM events")),
                dict(connection.fetch_all(_FIND_CHANGES, parameters)),
            )
        connection.execute(sql.SQL("DROP TABLE {}").format(identifiers))
    return replaced


def _reject_users(connection: PlainConnection, tables: Sequence[str]) -> None:
    found = _count_rows(connection, tables)
    if found["users"] or found["clients"]:
        raise DatabaseNotEmpty(
            f"The database already contains {counted(found['users'], 'user')} and"
            f" {counted(found['clients'], 'client')}: pass --replace to"
            " delete them, or restore into a new database."
        )


def _fill(connection: PlainConnection, archive: Archive, options: RestoreOptions) -> int:
    """Create the tables of the backup, fill them, and migrate them.

    Return the number of valid tokens that it revoked.
    """
    manifest, revoked = archive.manifest, 0
    connection.execute(schema_of(manifest.version, options.schema))
    for name in manifest.partitions:
        if statement := creation_of(name):
            connection.execute(statement)
    with deferred_indexes(connection, TABLES):
        for name in TABLES:
            if name in manifest.rows:
                _fill_table(connection, archive, name)
        if not options.keeps_tokens:
            now = options.event.at
            connection.execute(_INDEX_REVOCATIONS)
            revoked = int(connection.value(_REVOKE_TOKENS, (now, now)))
            connection.execute("DROP INDEX userauth_restored_tokens")
    if connection.fetch_all("SELECT version FROM userauth_schema") != [(manifest.version,)]:
        raise BackupError("The schema version in the backup differs from that in its manifest.")
    for migration in migrations(manifest.version):
        connection.execute(migration)
    return revoked


def _finish(
    connection: PlainConnection,
    archive: Archive,
    options: RestoreOptions,
    replaced: _Replaced,
    revoked: int,
) -> RestoreResult:
    """Delete the messages, insert the event, and return the result."""
    # Otherwise old messages would be sent, and used secrets would be valid again.
    connection.execute("DELETE FROM messages")
    connection.insert_event(options.event)
    changed: dict[str, list[str]] = defaultdict(list)
    for user_id, email in connection.fetch_all(_FIND_EMAILS, (list(replaced.changes),)):
        changed[replaced.changes[user_id]].append(email)
    version = archive.manifest.version
    return RestoreResult(
        users=archive.manifest.rows["users"],
        revoked_tokens=revoked,
        lost_events=replaced.events,
        migrated_from=version if version < VERSION else None,
        changed=changed,
    )


def _fill_table(connection: PlainConnection, archive: Archive, name: str) -> None:
    """Replace the initial rows of a table with those of a backup."""
    connection.execute(f"DELETE FROM {name}")
    for source in (name, *(archive.manifest.partitions if name == "events" else ())):
        with archive.table(source) as rows, connection.raw.cursor() as cursor:
            if rows.columns:
                copy = sql.SQL("COPY {} ({}) FROM STDIN").format(
                    sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, rows.columns))
                )
                cursor.copy_expert(copy, rows)
    # Identity columns continue after the highest value.
    for table, column in connection.fetch_all(_FIND_IDENTITY_COLUMNS, (name,)):
        connection.execute(
            f"SELECT setval(pg_get_serial_sequence(%s, %s), (SELECT max({column}) FROM {table}))",
            (table, column),
        )
