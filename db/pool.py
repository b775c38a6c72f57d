"""The way to Postgres: a pool of connections, transactions, and what happens when it is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiopg
import psycopg2

from db.errors import DatabaseError, Unavailable
from db.failures import connection_failure, translated
from db.prepared import PreparedQuery
from db.rows import Row

# How much longer than Postgres itself we wait for it to give up a statement.
_GRACE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections there are, and how long, in seconds, they are waited for."""

    pool_min: int
    pool_max: int
    acquire_timeout_seconds: float
    query_timeout_seconds: float


class Connection:
    """One connection. Each failure of a statement is translated here, and only here.

    ``until`` is when, by the loop's clock, its last statement must be answered.
    """

    def __init__(self, raw: aiopg.Connection, *, until: float) -> None:
        self._raw = raw
        self._until = until

    @property
    def closed(self) -> bool:
        """Tell whether the connection is gone."""
        return bool(self._raw.closed)

    async def close(self) -> None:
        """Close the connection; a pool forgets it when it comes back."""
        await self._raw.close()

    async def fetch_one(self, sql: str, parameters: Sequence[object] = ()) -> Row | None:
        """Return the first row of the answer, or None."""
        rows, _ = await self._run(sql, parameters)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Return the rows of the answer."""
        rows, _ = await self._run(sql, parameters)
        return rows

    async def execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Run a statement whose answer has no rows; return how many it changed."""
        _, count = await self._run(sql, parameters)
        return count

    async def _run(self, sql: str, parameters: Sequence[object]) -> tuple[list[Row], int]:
        left = max(0.0, self._until - asyncio.get_running_loop().time())
        try:
            cursor = await self._raw.cursor()
            # None instead of no parameters: psycopg2 then leaves a percent sign alone.
            await cursor.execute(sql, parameters or None, timeout=left)
            # Here too: a connection can end between the answer and its rows.
            rows = await cursor.fetchall() if cursor.description else []
        except (psycopg2.Error, TimeoutError, asyncio.CancelledError) as error:
            raise translated(error) from None
        return rows, cursor.rowcount


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
            raise connection_failure(error) from None
        return cls(pool, dsn, limits)

    async def close(self) -> None:
        """Close every connection, after those who have one gave it back."""
        self._pool.close()
        await self._pool.wait_closed()

    async def prepare(self, name: str, sql: str, key_type: str) -> PreparedQuery:
        """Return a query of one array, prepared on a connection outside the pool.

        Whoever asked closes it. The plan is made once, and for a table that grows.
        """
        try:
            async with asyncio.timeout(self.limits.acquire_timeout_seconds):
                raw = await aiopg.connect(self._dsn, **_connection_options(self.limits))
                await _bound_statements(self.limits)(raw)
                cursor = await raw.cursor()
                await cursor.execute(
                    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;"
                    f" PREPARE {name} ({key_type}[]) AS {sql}"
                )
                return PreparedQuery(raw, f"EXECUTE {name} (%s::{key_type}[])")
        except (psycopg2.Error, TimeoutError, asyncio.CancelledError) as error:
            raise connection_failure(error) from None

    @asynccontextmanager
    async def connection(self, seconds: float | None = None) -> AsyncIterator[Connection]:
        """Lend a connection, in autocommit; raises Unavailable where none can be had.

        Waiting for it, and all its statements, take ``seconds`` at most: as long as either of
        the limits, where nothing is said.
        """
        limits = self.limits
        most = max(limits.acquire_timeout_seconds, limits.query_timeout_seconds) + _GRACE_SECONDS
        until = asyncio.get_running_loop().time() + (seconds or most)
        raw = await self._acquire()
        try:
            yield Connection(raw, until=until)
        finally:
            await self._release(raw)

    @asynccontextmanager
    async def transaction(self, seconds: float | None = None) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction: committed at the end, else rolled back."""
        async with self.connection(seconds) as connection:
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
                    return await self._take()
                except BaseException:
                    self._turn.release()
                    raise
        except (psycopg2.Error, TimeoutError, asyncio.CancelledError) as error:
            raise connection_failure(error) from None

    async def _take(self) -> aiopg.Connection:
        while True:
            try:
                return await self._pool.acquire()
            except AssertionError:
                # aiopg found that a free connection had ended while it made another one, and
                # has forgotten it by now.
                continue

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
