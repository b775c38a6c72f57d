"""SQL beside the server, as an administrator sends it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psycopg2


def run_sql(
    dsn: str, sql: str, parameters: tuple[object, ...] | Mapping[str, object] | None = None
) -> list[Any]:
    """Run a statement in autocommit and return its rows, if it has any."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
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
