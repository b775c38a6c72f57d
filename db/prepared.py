"""A prepared query on a connection of its own, driven by callbacks.

It serves the queries that every request waits for. aiopg makes the connection; statements go
straight to psycopg2, and their rows to a callback, without the cursor, the task and the timer of
an awaited statement, which cost more time than Postgres needs for the answer.
"""

import asyncio
from collections.abc import Callable

import aiopg
import psycopg2
from psycopg2.extensions import POLL_OK, POLL_WRITE

from db.acknowledgements import late
from db.errors import DatabaseError, NotAcknowledged, ReadOnly, StatementError, Unavailable
from db.fences import OPEN, refusal
from db.rows import Row
from db.translation import translate_driver_error

Received = Callable[[list[Row], DatabaseError | None], None]


def preparation(name: str, sql: str, key_type: str) -> str:
    """Return the statements that prepare a query of one array.

    The plan is generic: it is made once, for a table that grows.
    """
    return (
        "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;"
        f" PREPARE {name} ({key_type}[]) AS {sql}"
    )


class PreparedQuery:
    """Sends one statement at a time, and passes the result to a callback.

    ``statement`` has one placeholder, and returns at least one row, whose first column is a fence
    (db/fences.py). Almost any failure closes the connection, and the owner opens the next one. The
    owner also aborts slow statements.
    """

    def __init__(
        self, connection: aiopg.Connection, statement: str, *, acknowledged: bool = False
    ) -> None:
        self._connection = connection
        self._raw = connection.raw
        self._acknowledged = acknowledged
        # Warnings that Postgres sent while the connection was opened do not concern a result.
        self._raw.notices.clear()
        self._cursor = self._raw.cursor()
        self._statement = statement
        self._received: Received | None = None
        self._sent_at = 0.0
        self._writing = False
        self._loop = asyncio.get_running_loop()
        self._descriptor = self._raw.fileno()
        self._is_disconnected = False
        # Replaces aiopg's own reader.
        self._loop.add_reader(self._descriptor, self._proceed)

    @property
    def closed(self) -> bool:
        """Return whether the connection is closed."""
        return bool(self._raw.closed)

    def send(self, keys: list[str], received: Received) -> None:
        """Send the statement, and call ``received`` once with its rows, or with its failure."""
        self._received = received
        self._sent_at = self._loop.time()
        try:
            self._cursor.execute(self._statement, (keys,))
        except psycopg2.Error as error:
            self._fail(translate_driver_error(error))
        except ValueError:
            # The connection stays usable, since nothing was sent.
            self._finish([], StatementError("a key cannot be encoded as text for Postgres"))
        else:
            self._proceed()

    def is_waiting(self, *, since: float) -> bool:
        """Return whether a statement that was sent before a time of the loop has no result."""
        return self._received is not None and self._sent_at < since

    def abort(self) -> None:
        """Close the connection; a pending statement fails, since its time ran out."""
        self._fail(late(acknowledged=self._acknowledged))

    def close(self) -> None:
        """Close the connection; a pending statement fails."""
        self._disconnect()
        self._finish([], Unavailable("the connection was closed"))

    def _proceed(self) -> None:
        """Take the next step for which the connection is ready."""
        try:
            state = self._raw.poll()
            rows = self._cursor.fetchall() if state == POLL_OK and self._received else None
        except psycopg2.Error as error:
            self._fail(translate_driver_error(error))
            return
        self._wait_to_write(wanted=state == POLL_WRITE)
        if rows is None:
            return
        if rows and rows[0][0] == OPEN and not (self._acknowledged and self._raw.notices):
            self._finish(rows, None)
        else:
            self._reject(rows)

    def _reject(self, rows: list[Row]) -> None:
        state = rows[0][0] if rows else None
        if state == OPEN:
            # As for db/commit_warnings.py, Postgres gave up its wait for the standby.
            error: Unavailable = Unavailable("Postgres returned the rows with a warning")
        else:
            error = refusal(state) if state else ReadOnly("Postgres returned no state")
        if isinstance(error, NotAcknowledged):
            # The connection stays usable: each new one would be rejected as well.
            self._finish([], error)
        else:
            self._fail(error)

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
        # Once closed, the descriptor may be that of another connection.
        if self._is_disconnected:
            return
        self._is_disconnected = True
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        self._connection.close()
