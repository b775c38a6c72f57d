"""A restore: the whole database becomes what a backup holds, in one transaction, or stays.

Nothing that a file says is run: the tables are made by our own schema, of the version of the
backup, filled with its rows, and then brought up to date. So pg_restore only unpacks rows, and a
cluster of any version that serves will do. Until the end nobody sees anything of it; a server that
starts meanwhile waits for the lock that it takes for its schema.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg2 import sql
from psycopg2.errors import LockNotAvailable

from db.errors import BackupError, DatabaseNotEmpty
from db.rows import NewEvent
from db.schema import (
    CLUSTER,
    FIND_OURS,
    FIND_TABLES,
    TABLE_LOCK_MILLISECONDS,
    TABLES,
    check_cluster,
    check_room,
    check_version,
    migrations,
    schema_of,
)
from db.schema_lock import FIND_HOLDER, LOCK, PATIENCE, SET_STEP, TAKE, holder_in, refusal
from db.strangers import FIND_STRANGERS, strangers_in
from postgres.archives import Archive
from postgres.plain_connection import PlainConnection, plain_connection

# A server that has just ended is connected for a moment more.
_OTHERS_SECONDS = 10.0
_COUNT_OTHERS = """
SELECT count(*)
FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'userauth' AND pid <> pg_backend_pid()
"""
_LAST_STATES = """
SELECT DISTINCT ON (user_id) user_id::text, kind
FROM events
WHERE at >= %s AND kind = ANY (%s::text[])
ORDER BY user_id, id DESC
"""
_NAME_USERS = "SELECT id::text, email FROM users WHERE id = ANY (%s::uuid[]) ORDER BY email_key"
_END_TOKENS = """
WITH ended AS (
    UPDATE tokens SET revoked_at = %s WHERE revoked_at IS NULL RETURNING user_id, expires_at
)
SELECT count(*) FROM ended WHERE user_id IS NOT NULL AND expires_at > %s
"""
_FIND_IDENTITIES = """
SELECT attrelid::regclass::text, attname::text
FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attidentity <> ''
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a restore is to do.

    ``schema`` is the present schema.sql; ``event`` tells the audit trail of the restore. Events
    of ``kinds`` since the backup tell what befell users that it brings back.
    """

    schema: str
    event: NewEvent
    may_replace: bool
    keeps_tokens: bool
    kinds: Sequence[str]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: users that there are, good tokens that were ended.

    ``changed_since`` are kinds of events, and the e-mail addresses of users that had them in the
    database that was replaced, after the backup; ``lost_events`` is how many events it held.
    """

    users: int
    revoked_tokens: int
    lost_events: int
    changed_since: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Replaced:
    """What the audit trail told that is gone: how many events, what befell users last, by id."""

    events: int = 0
    last_states: Mapping[str, str] = field(default_factory=dict)


def restore(dsn: str, archive: Archive, wanted: Wanted) -> Restored:
    """Put a backup into a database.

    Raises DatabaseNotEmpty where it may not, and then changes nothing.
    """
    with plain_connection(dsn) as connection:
        check_cluster(*connection.fetch_all(CLUSTER)[0])
        strangers_in(connection.fetch_all(FIND_STRANGERS, (list(TABLES),))).refuse()
        with connection.transaction():
            _take_turn(connection)
            _refuse_others(connection)
            replaced = _make_room(connection, archive, wanted)
            restored = _fill(connection, archive, wanted, replaced)
        # Until then Postgres would plan for empty tables.
        for name in TABLES:
            connection.execute(f"ANALYZE {name}")
    return restored


def _take_turn(connection: PlainConnection) -> None:
    """Wait until no server looks at its schema, and let none do so until we are done."""
    began = time.monotonic()
    connection.execute(SET_STEP, (PATIENCE.milliseconds,))
    while not _has_turn(connection):
        holder = holder_in(connection.fetch_all(FIND_HOLDER, (LOCK,)))
        if PATIENCE.is_over(holder, time.monotonic() - began):
            raise DatabaseNotEmpty(refusal(holder))
    connection.execute(f"SET LOCAL lock_timeout = {TABLE_LOCK_MILLISECONDS}")


def _has_turn(connection: PlainConnection) -> bool:
    connection.execute("SAVEPOINT turn")
    try:
        connection.execute(TAKE, (LOCK,))
    except LockNotAvailable:
        connection.execute("ROLLBACK TO SAVEPOINT turn")
        return False
    return True


def _refuse_others(connection: PlainConnection) -> None:
    """Refuse while servers are connected: they remember what is to be replaced."""
    deadline = time.monotonic() + _OTHERS_SECONDS
    while others := connection.value(_COUNT_OTHERS):
        if time.monotonic() > deadline:
            raise DatabaseNotEmpty(
                f"Servers or commands use the database, by {others} connections: stop them first."
            )
        time.sleep(0.05)
        connection.execute("SELECT pg_stat_clear_snapshot()")


def _make_room(connection: PlainConnection, archive: Archive, wanted: Wanted) -> _Replaced:
    """Drop the tables that there are, if that may be; return what their audit trail told."""
    ours = connection.fetch_all(FIND_OURS, (list(TABLES),))
    if not ours:
        check_room(row[0] for row in connection.fetch_all(FIND_TABLES, (list(TABLES),)))
        return _Replaced()
    tables = [name for _, name in ours]
    listed = sql.SQL(", ").join(sql.Identifier(*names) for names in ours)
    check_version(int(connection.value("SELECT version FROM userauth_schema")))
    replaced = _Replaced()
    with _somebody_elses_locks():
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(listed))
        if not wanted.may_replace:
            _refuse_people(connection, tables)
        if "events" in tables:
            parameters = (archive.manifest.made_at, list(wanted.kinds))
            replaced = _Replaced(
                int(connection.value("SELECT count(*) FROM events")),
                dict(connection.fetch_all(_LAST_STATES, parameters)),
            )
        connection.execute(sql.SQL("DROP TABLE {}").format(listed))
    return replaced


def _refuse_people(connection: PlainConnection, tables: Sequence[str]) -> None:
    users = connection.value("SELECT count(*) FROM users")
    clients = connection.value("SELECT count(*) FROM clients") if "clients" in tables else 0
    if users or clients:
        raise DatabaseNotEmpty(
            f"The database holds {users} users and {clients} clients already: say --replace to"
            " lose them, or restore into a new database."
        )


def _fill(
    connection: PlainConnection, archive: Archive, wanted: Wanted, replaced: _Replaced
) -> Restored:
    manifest = archive.manifest
    connection.execute(schema_of(manifest.version, wanted.schema))
    for name in TABLES:
        if name in manifest.rows:
            _fill_table(connection, archive, name)
    if connection.fetch_all("SELECT version FROM userauth_schema") != [(manifest.version,)]:
        raise BackupError("The backup holds another schema version than it tells of.")
    for migration in migrations(manifest.version):
        connection.execute(migration)
    now = wanted.event.at
    ended = 0 if wanted.keeps_tokens else int(connection.value(_END_TOKENS, (now, now)))
    connection.insert_event(wanted.event)
    last_states = replaced.last_states
    named = connection.fetch_all(_NAME_USERS, (list(last_states),))
    return Restored(
        users=manifest.rows["users"],
        revoked_tokens=ended,
        lost_events=replaced.events,
        changed_since=[(last_states[user_id], email) for user_id, email in named],
    )


def _fill_table(connection: PlainConnection, archive: Archive, name: str) -> None:
    """Put the rows of a backup into a table, in place of those that the schema begins with."""
    connection.execute(f"DELETE FROM {name}")  # noqa: S608 - our own names
    with archive.table(name) as rows, connection.raw.cursor() as cursor:
        if rows.columns:
            copy = sql.SQL("COPY {} ({}) FROM STDIN").format(
                sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, rows.columns))
            )
            cursor.copy_expert(copy, rows)
    # Numbers go on after the highest.
    for table, column in connection.fetch_all(_FIND_IDENTITIES, (name,)):
        connection.execute(
            f"SELECT setval(pg_get_serial_sequence(%s, %s),"  # noqa: S608 - our own names
            f" (SELECT max({column}) FROM {table}))",
            (table, column),
        )


@contextmanager
def _somebody_elses_locks() -> Iterator[None]:
    try:
        yield
    except LockNotAvailable:
        raise DatabaseNotEmpty(
            "Somebody uses the tables, a backup perhaps or a person with psql: wait, or end that."
        ) from None
