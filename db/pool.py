"""The way to Postgres: a pool of connections, transactions, and what happens when it is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiopg
import psycopg2

from db.errors import DatabaseError, Failed, Unavailable

Row = tuple[Any, ...]

# SQLSTATE classes that speak of the state Postgres is in, not of the statement: invalid
# transaction state (read-only among them), resources, intervention, system errors.
_TRANSIENT_CLASSES = frozenset({"25", "53", "57", "58"})

# How much longer than Postgres itself we wait for a statement to be given up.
_GRACE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections there are, and how long, in seconds, they are waited for."""

    pool_min: int
    pool_max: int
    acquire_timeout_seconds: float
    query_timeout_seconds: float


class Connection:
    """One connection. Each failure of a statement is translated here, and only here."""

    def __init__(self, raw: aiopg.Connection) -> None:
        self._raw = raw

    @property
    def closed(self) -> bool:
        """Tell whether the connection is gone."""
        return bool(self._raw.closed)

    async def close(self) -> None:
        """Close the connection; a pool forgets it when it comes back."""
        await self._raw.close()

    async def fetch_one(self, sql: str, parameters: Sequence[object] = ()) -> Row | None:
        """Return the first row of the answer, or None."""
        rows = await self.fetch_all(sql, parameters)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Return the rows of the answer."""
        cursor = await self._run(sql, parameters)
        return await cursor.fetchall()

    async def execute(
        self, sql: str, parameters: Sequence[object] = (), *, timeout: float | None = None
    ) -> int:
        """Run a statement whose answer has no rows; return how many it changed."""
        cursor = await self._run(sql, parameters, timeout)
        return cursor.rowcount

    async def _run(
        self, sql: str, parameters: Sequence[object], timeout: float | None = None
    ) -> aiopg.Cursor:
        try:
            cursor = await self._raw.cursor()
            # None instead of no parameters: psycopg2 then leaves a percent sign alone.
            await cursor.execute(sql, parameters or None, timeout=timeout)
        except (psycopg2.Error, TimeoutError, asyncio.CancelledError) as error:
            raise _translated(error) from None
        return cursor


class Database:
    """A pool of connections to one Postgres.

    Those who wait for a connection get it in the order in which they came: the pool of
    aiopg gives a free one to whoever asks at that moment, so a queue stands before it.
    """

    def __init__(self, pool: aiopg.Pool, dsn: str, limits: PoolLimits) -> None:
        self._pool = pool
        self._dsn = dsn
        self.limits = limits
        self._turn = asyncio.Semaphore(limits.pool_max)

    @classmethod
    async def open(cls, dsn: str, limits: PoolLimits) -> Self:
        """Connect ``pool_min`` times; raises Unavailable where that is not possible."""
        try:
            async with asyncio.timeout(limits.acquire_timeout_seconds):
                pool = await aiopg.create_pool(
                    dsn,
                    minsize=limits.pool_min,
                    maxsize=limits.pool_max,
                    on_connect=_bound_statements(limits),
                    **_connection_options(limits),
                )
        except (psycopg2.Error, TimeoutError, asyncio.CancelledError) as error:
            raise _connection_failure(error) from None
        return cls(pool, dsn, limits)

    async def close(self) -> None:
        """Close every connection, after those who have one gave it back."""
        self._pool.close()
        await self._pool.wait_closed()

    async def connect(self) -> Connection:
        """Return a new connection outside the pool; whoever asked closes it."""
        try:
            async with asyncio.timeout(self.limits.acquire_timeout_seconds):
                raw = await aiopg.connect(self._dsn, **_connection_options(self.limits))
                await _bound_statements(self.limits)(raw)
                return Connection(raw)
        except (psycopg2.Error, TimeoutError, asyncio.CancelledError) as error:
            raise _connection_failure(error) from None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection, in autocommit; raises Unavailable where none can be had."""
        raw = await self._acquire()
        try:
            yield Connection(raw)
        finally:
            await self._release(raw)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction: committed at the end, else rolled back."""
        async with self.connection() as connection:
            await connection.execute("BEGIN")
            try:
                yield connection
            except BaseException:
                await _roll_back(connection)
                raise
            await connection.execute("COMMIT")

    async def ping(self, timeout: float) -> None:
        """Return when Postgres answered; raises Unavailable after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout), self.connection() as connection:
                await connection.fetch_one("SELECT 1")
        except TimeoutError:
            raise Unavailable("Postgres did not answer in time.") from None

    async def _acquire(self) -> aiopg.Connection:
        try:
            async with asyncio.timeout(self.limits.acquire_timeout_seconds):
                await self._turn.acquire()
                try:
                    return await self._pool.acquire()
                except BaseException:
                    self._turn.release()
                    raise
        except (psycopg2.Error, TimeoutError, asyncio.CancelledError) as error:
            raise _connection_failure(error) from None

    async def _release(self, raw: aiopg.Connection) -> None:
        try:
            await self._pool.release(raw)
        finally:
            self._turn.release()


def _bound_statements(limits: PoolLimits) -> Callable[[aiopg.Connection], Awaitable[None]]:
    """Return what tells a new connection's Postgres when to give up a statement by itself.

    A client that gives up only closes the connection: the statement would run on, and
    keep its locks.
    """
    milliseconds = int(limits.query_timeout_seconds * 1000)

    async def bound(raw: aiopg.Connection) -> None:
        cursor = await raw.cursor()
        await cursor.execute(
            "SELECT set_config('statement_timeout', %s, false),"
            " set_config('idle_in_transaction_session_timeout', %s, false)",
            (str(milliseconds), str(milliseconds)),
        )

    return bound


def _connection_options(limits: PoolLimits) -> dict[str, Any]:
    return {
        "timeout": limits.query_timeout_seconds + _GRACE_SECONDS,
        # Conversions that nothing here uses; hstore alone costs a query per connection.
        "enable_json": False,
        "enable_hstore": False,
        "enable_uuid": False,
        "application_name": "userauth",
        # A peer that went silent is noticed by the kernel too.
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }


async def _roll_back(connection: Connection) -> None:
    if connection.closed:
        return
    try:
        await connection.execute("ROLLBACK")
    except DatabaseError:
        await connection.close()


def _connection_failure(error: BaseException) -> BaseException:
    """Return what to raise where no connection was made: libpq's reason holds no values."""
    if isinstance(error, psycopg2.OperationalError):
        return Unavailable(" ".join(str(error).split()))
    return _translated(error)


def _translated(error: BaseException) -> BaseException:
    """Return what to raise instead of a failure of psycopg2, aiopg or the clock.

    The message leaves out psycopg2's text: it can hold values of the statement.
    """
    if isinstance(error, TimeoutError):
        return Unavailable("Postgres did not answer in time.")
    if isinstance(error, asyncio.CancelledError):
        # aiopg turns a statement that Postgres cancelled into a CancelledError.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            return error
        return Unavailable("Postgres cancelled the statement.")
    code = getattr(error, "pgcode", None)
    said = f"{type(error).__name__}, SQLSTATE {code}"
    return Unavailable(said) if _is_transient(error, code) else Failed(said)


def _is_transient(error: BaseException, code: str | None) -> bool:
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return True
    if code is None:
        # A connection that broke; what psycopg2 itself refuses is one of these two.
        return not isinstance(error, psycopg2.ProgrammingError | psycopg2.DataError)
    return code[:2] in _TRANSIENT_CLASSES
