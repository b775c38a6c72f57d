"""Exclusive access to the database, for a restore: no server starts, and none is connected."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.errors import LockNotAvailable

from db.errors import DatabaseNotEmpty
from db.schema import TABLE_LOCK_MILLISECONDS
from db.schema_lock import (
    FIND_HOLDER,
    LOCK,
    LOCK_WAIT,
    SET_LOCK_TIMEOUT,
    TAKE_LOCK,
    read_holder,
    timeout_message,
)
from postgres.plain_connection import PlainConnection
from rules.counting import counted

# The connections of a server that has just stopped take a moment to end.
_DISCONNECT_SECONDS = 10.0
COUNT_OTHER_CONNECTIONS = """
SELECT count(*)
FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'userauth' AND pid <> pg_backend_pid()
"""


def take_schema_lock(connection: PlainConnection) -> None:
    """Take the lock of the schema, which keeps servers from starting until the commit."""
    began = time.monotonic()
    connection.execute(SET_LOCK_TIMEOUT, (LOCK_WAIT.lock_timeout,))
    while not _try_lock(connection):
        holder = read_holder(connection.fetch_all(FIND_HOLDER, (LOCK,)))
        if LOCK_WAIT.has_ended(holder, time.monotonic() - began):
            raise DatabaseNotEmpty(timeout_message(holder))
    connection.execute(f"SET LOCAL lock_timeout = {TABLE_LOCK_MILLISECONDS}")


def _try_lock(connection: PlainConnection) -> bool:
    connection.execute("SAVEPOINT unlocked")
    try:
        connection.execute(TAKE_LOCK, (LOCK,))
    except LockNotAvailable:
        connection.execute("ROLLBACK TO SAVEPOINT unlocked")
        return False
    return True


def reject_other_connections(connection: PlainConnection) -> None:
    """Raise while servers are connected: they cache data that the restore replaces."""
    deadline = time.monotonic() + _DISCONNECT_SECONDS
    while count := connection.value(COUNT_OTHER_CONNECTIONS):
        if time.monotonic() > deadline:
            raise DatabaseNotEmpty(
                f"Servers or commands use the database, on {counted(count, 'connection')}: stop"
                " them first, and close what a pooler keeps (RECONNECT in PgBouncer)."
            )
        time.sleep(0.05)
        connection.execute("SELECT pg_stat_clear_snapshot()")


@contextmanager
def reject_locked_tables() -> Iterator[None]:
    """Raise DatabaseNotEmpty if the block times out waiting for a lock."""
    try:
        yield
    except LockNotAvailable:
        raise DatabaseNotEmpty(
            "Another session uses the tables, such as a backup or psql: wait for it, or end it."
        ) from None
