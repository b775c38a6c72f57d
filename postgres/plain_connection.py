"""A connection whose statements are waited for: aiopg cannot COPY, nor need one long work it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2 import extensions
from psycopg2.sql import Composable

from db.connecting import describe
from db.errors import Unavailable
from db.events import INSERT, INSERT_BEFORE_4, parameters_of
from db.failures import connection_failure, database_error
from db.pinned import PIN, Waits, pin_parameters, read_pinned
from db.rows import NewEvent, Parameters, Row
from db.schema import VERSION

_CONNECT_SECONDS = 10
_TRANSACTIONS_END_SINCE = 170_000
# The version of the schema that gave events an actor and a count.
_ACTORS_SINCE = 4
# What runs here may take hours; a database, or a role, may have limits of its own.
_WAITS = Waits(statement=0, lock=0)


class PlainConnection:
    """One connection in autocommit, without failures translated: see ``plain_connection``."""

    def __init__(self, raw: extensions.connection) -> None:
        self.raw = raw

    def execute(self, sql: str | Composable, parameters: Parameters = ()) -> int:
        """Run a statement; return how many rows it changed."""
        with self.raw.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.rowcount

    def fetch_all(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return the rows of the answer."""
        with self.raw.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchall()

    def value(self, sql: str, parameters: tuple[object, ...] = ()) -> Any:  # noqa: ANN401
        """Return the first column of the first row."""
        return self.fetch_all(sql, parameters)[0][0]

    def insert_event(self, event: NewEvent, version: int = VERSION) -> None:
        """Insert an event into the audit trail, of a schema of that version."""
        statement = INSERT_BEFORE_4 if version < _ACTORS_SINCE else INSERT
        self.execute(statement, parameters_of(event))

    @contextmanager
    def transaction(self, begin: str = "BEGIN") -> Iterator[None]:
        """Commit what the block does, at its end, or none of it."""
        self.execute(begin)
        try:
            yield
        except BaseException:
            if not self.raw.closed:
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")


@contextmanager
def plain_connection(dsn: str) -> Iterator[PlainConnection]:
    """Connect for the length of the block; raises DatabaseError for what fails in it."""
    try:
        raw = psycopg2.connect(
            dsn,
            application_name="userauth",
            client_encoding="UTF8",
            connect_timeout=_CONNECT_SECONDS,
            # Of a host with several addresses, the one that is the primary.
            target_session_attrs="read-write",
        )
    except psycopg2.Error as error:
        failure = connection_failure(error)
        raise Unavailable(f"Postgres does not answer ({failure}): check DATABASE_URL.") from None
    try:
        with closing(raw):
            raw.autocommit = True
            connection = PlainConnection(raw)
            row = connection.fetch_all(PIN, pin_parameters(_WAITS, None))[0]
            read_pinned(row, describe(dsn))
            if raw.server_version >= _TRANSACTIONS_END_SINCE:
                connection.execute("SET transaction_timeout = 0")
            yield connection
    except psycopg2.Error as error:
        # Without psycopg2's text, which can hold values of the statement.
        failure = database_error(error)
        raise type(failure)(f"Postgres refuses to go on ({failure}).") from None


def postgres_time(dsn: str) -> float:
    """Return the time of Postgres in UTC seconds."""
    with plain_connection(dsn) as connection:
        return float(connection.value("SELECT extract(epoch FROM clock_timestamp())"))
