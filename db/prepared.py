"""A prepared query on a connection of its own, driven by callbacks.

For the one query that every request waits for. aiopg makes the connection; a statement then
goes straight to psycopg2 and its rows to a callback, without the cursor, the task and
the timer that an awaited statement costs: more than Postgres takes to answer it.
"""

import asyncio
from collections.abc import Callable

import aiopg
import psycopg2
from psycopg2.extensions import POLL_OK, POLL_WRITE

from db.errors import DatabaseError, ReadOnly, StatementError, Unavailable
from db.failures import database_error
from db.rows import Row

Received = Callable[[list[Row], DatabaseError | None], None]


def prove_primary(sql: str) -> str:
    """Return a query whose rows begin with whether Postgres is in recovery.

    Where it finds nothing there is a row, too: an empty answer of a standby, which may lack the
    newest counts of tries, must not be taken for one of the primary.
    """
    return f"""
SELECT pg_is_in_recovery(), found.*
FROM (VALUES (1)) AS one (row)
LEFT JOIN ({sql}) AS found ON true
"""  # noqa: S608 - our own statements


class PreparedQuery:
    """Sends one statement at a time and hands over what comes back.

    ``statement`` has one placeholder, and returns a row at least, whose first column tells whether
    Postgres is in recovery: what a standby answers may be out of date. Any failure ends the
    connection: ``closed`` tells, and the next one is for the owner to make. So is giving up a
    statement that takes too long.
    """

    def __init__(self, connection: aiopg.Connection, statement: str) -> None:
        self._connection = connection
        self._raw = connection.raw
        self._cursor = self._raw.cursor()
        self._statement = statement
        self._received: Received | None = None
        self._sent_at = 0.0
        self._writing = False
        self._loop = asyncio.get_running_loop()
        self._descriptor = self._raw.fileno()
        # In place of aiopg's own reader.
        self._loop.add_reader(self._descriptor, self._proceed)

    @property
    def closed(self) -> bool:
        """Tell whether the connection is gone."""
        return bool(self._raw.closed)

    def send(self, keys: list[str], received: Received) -> None:
        """Send the statement; ``received`` is called once, with its rows or with what failed."""
        self._received = received
        self._sent_at = self._loop.time()
        try:
            self._cursor.execute(self._statement, (keys,))
        except psycopg2.Error as error:
            self._fail(database_error(error))
        except ValueError:
            # A key that no text of Postgres can be. Nothing was sent.
            self._finish([], StatementError("A key cannot be written as text of Postgres."))
        else:
            self._proceed()

    def give_up(self, *, sent_before: float) -> None:
        """End a statement that was sent before some time, by the loop's clock."""
        if self._received is not None and self._sent_at < sent_before:
            self._fail(database_error(TimeoutError()))

    def close(self) -> None:
        """Close the connection; whoever waits is told so."""
        self._disconnect()
        self._finish([], Unavailable("The connection was closed."))

    def _proceed(self) -> None:
        """Take whatever step the connection is ready for."""
        try:
            state = self._raw.poll()
            rows = self._cursor.fetchall() if state == POLL_OK and self._received else None
        except psycopg2.Error as error:
            self._fail(database_error(error))
            return
        self._wait_to_write(wanted=state == POLL_WRITE)
        if rows is None:
            return
        if rows and rows[0][0] is False:
            self._finish(rows, None)
        else:
            self._fail(ReadOnly("Postgres is a standby"))

    def _wait_to_write(self, *, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self._descriptor, self._proceed)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._descriptor)
        self._writing = wanted

    def _finish(self, rows: list[Row], error: DatabaseError | None) -> None:
        received, self._received = self._received, None
        if received is not None:
            received(rows, error)

    def _fail(self, error: DatabaseError) -> None:
        self._disconnect()
        self._finish([], error)

    def _disconnect(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        self._connection.close()
