"""A connection to Postgres whose failures are raised as the errors of db/errors.py."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiopg
import psycopg2

from db.commit_warnings import rejecting_warnings
from db.errors import DatabaseError
from db.rows import Parameters, Row
from db.translation import translate
from ops.timing import current_timing

# The value of psycopg2; a connection that broke and is not closed yet has another one.
_CLOSED = 1


class Connection:
    """A connection to Postgres.

    Methods that run statements raise Unavailable if a failover may undo what they have committed.
    ``deadline``, on the loop's clock, ends the wait for any of its statements. ``begin`` begins a
    transaction. ``check`` raises DatabaseError if the next statement must not be sent.
    """

    def __init__(
        self,
        raw: aiopg.Connection,
        *,
        deadline: float,
        begin: tuple[str, Parameters] = ("BEGIN", ()),
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._raw = raw
        self._deadline = deadline
        self._begin = begin
        self._check = check

    @property
    def closed(self) -> bool:
        """Return whether the connection is closed."""
        return bool(self._raw.closed)

    @property
    def protocol_pid(self) -> int:
        """Return the process id of the session, as the protocol, or a pooler, named it."""
        return int(self._raw.raw.get_backend_pid())

    async def close(self) -> None:
        """Close the connection; the pool discards it on return."""
        close_once(self._raw)

    async def fetch_one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Run a statement; return the first row of the result, or None."""
        rows, _ = await self._run(sql, parameters)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Run a statement; return the rows of the result."""
        rows, _ = await self._run(sql, parameters)
        return rows

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement without a result; return the number of affected rows."""
        _, count = await self._run(sql, parameters)
        return count

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Begin a transaction; commit it at the end of the block, or roll it back on an error."""
        await self.execute(*self._begin)
        try:
            yield
        except BaseException:
            await self.roll_back()
            raise
        await self.execute("COMMIT")

    async def roll_back(self) -> None:
        """Roll back; close the connection if that fails."""
        if self.closed:
            return
        try:
            await self.execute("ROLLBACK")
        except DatabaseError:
            await self.close()

    async def _run(self, sql: str, parameters: Parameters) -> tuple[list[Row], int]:
        self._check()
        seconds = max(0.0, self._deadline - asyncio.get_running_loop().time())
        with counted_as_database_time(), rejecting_warnings(self._raw.raw):
            try:
                cursor = await self._raw.cursor()
                # With None, psycopg2 does not interpret percent signs in the statement.
                await cursor.execute(sql, parameters or None, timeout=seconds)
                # In the try block: the connection can break between the result and its rows.
                rows = await cursor.fetchall() if cursor.description else []
            except (psycopg2.Error, TimeoutError, asyncio.CancelledError) as error:
                raise translate(error) from None
        return rows, cursor.rowcount


def close_once(raw: aiopg.Connection) -> None:
    """Close a connection unless it is closed: its descriptor may by now belong to another one."""
    if raw.raw.closed != _CLOSED:
        raw.close()


@contextmanager
def counted_as_database_time() -> Iterator[None]:
    """Add the time of the block to the database time of the current request, if any.

    Nested blocks are not counted again: the statements that set up a connection are part of the
    wait for it.
    """
    timing = current_timing()
    before = 0.0 if timing is None else timing.database
    began = time.perf_counter()
    try:
        yield
    finally:
        if timing is not None:
            timing.database = before + time.perf_counter() - began
