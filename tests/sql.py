"""SQL beside the server, as an administrator sends it."""

from contextlib import closing
from typing import Any

import psycopg2


def run_sql(dsn: str, sql: str, parameters: tuple[object, ...] | None = None) -> list[Any]:
    """Run a statement in autocommit and return its rows, where it has any."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []
