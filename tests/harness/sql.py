"""SQL beside the server, as an administrator sends it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any

import psycopg2

Parameters = tuple[object, ...] | Mapping[str, object] | None


def run_sql(dsn: str, sql: str, parameters: Parameters = None) -> list[Any]:
    """Run a statement in autocommit and return its rows, if it has any."""
    kept = _kept.get(dsn)
    # Another thread may use it, and wait for a lock in its statement.
    if kept is not None and kept.lock.acquire(blocking=False):
        try:
            return kept.run(sql, parameters)
        finally:
            kept.lock.release()
    with closing(_connect(dsn)) as connection:
        return _rows(connection, sql, parameters)


@contextmanager
def keeping_connection(dsn: str) -> Iterator[None]:
    """Have ``run_sql`` keep its connection: to connect takes longer than most statements."""
    _kept[dsn] = kept = _KeptConnection(dsn)
    try:
        yield
    finally:
        del _kept[dsn]
        kept.connection.close()


class _KeptConnection:
    """A connection that stays open, for one thread at a time."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.lock = Lock()
        self.connection = _connect(dsn)

    def run(self, sql: str, parameters: Parameters) -> list[Any]:
        try:
            return _rows(self.connection, sql, parameters)
        except psycopg2.Error:
            if not self.connection.closed:
                raise
            # A test ended it.
            self.connection = _connect(self._dsn)
            return _rows(self.connection, sql, parameters)


_kept: dict[str, _KeptConnection] = {}


def _connect(dsn: str) -> "psycopg2.extensions.connection":
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    return connection


def _rows(
    connection: "psycopg2.extensions.connection", sql: str, parameters: Parameters
) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def moving_counts_back(dsn: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that ages the counts of attempts by seconds: they use Postgres's clock."""
    columns = ("last_at", "before_at", "next_at", "place_next_at")
    moved = ", ".join(f"{name} = {name} - make_interval(secs => %(seconds)s)" for name in columns)
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True

        def let_pass(seconds: float) -> None:
            connection.cursor().execute(f"UPDATE throttle SET {moved}", {"seconds": seconds})  # noqa: S608

        yield let_pass


def all_text(dsn: str) -> str:
    """Return every row of every table of the database, as text."""
    tables = run_sql(
        dsn,
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    assert tables
    rows = [run_sql(dsn, f"SELECT t::text FROM {table} t") for (table,) in tables]  # noqa: S608
    return "\n".join(row[0] for found in rows for row in found)
