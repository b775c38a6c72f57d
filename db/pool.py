"""The way to Postgres: connections lent in turn, transactions, and what happens when it is away.

aiopg brings a pool of its own. It connects under the lock that everybody needs who takes a
connection or gives one back, so one slow connect holds up all; and it gives a free one to whoever
asks at that moment, not to whoever waited longest. Here a queue stands before a few connections.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import aiopg
import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from db.connecting import PoolLimits, Wanted, connect
from db.errors import DatabaseError, ReadOnly, Unavailable
from db.failures import translated
from db.prepared import PreparedQuery, prove_primary
from db.rows import Parameters, Row
from ops.logs import SERVER
from ops.timing import current_timing

# Told of each connection that is lent: how many seconds it was waited for.
ObserveWait = Callable[[float], None]
# How much longer than its statements the use of a connection may take.
_GRACE_SECONDS = 0.5
# How often the log tells that Postgres is not to be trusted.
_TELL_SECONDS = 10.0


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
        """Close the connection; the pool forgets it when it comes back."""
        await self._raw.close()

    async def fetch_one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row of the answer, or None."""
        rows, _ = await self._run(sql, parameters)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return the rows of the answer."""
        rows, _ = await self._run(sql, parameters)
        return rows

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement whose answer has no rows; return how many it changed."""
        _, count = await self._run(sql, parameters)
        return count

    async def commit(self) -> None:
        """End a transaction; raises Unavailable where it may be lost in a failover.

        Whoever cancels the wait for a synchronous standby has Postgres commit without it, and warn.
        """
        self._raw.raw.notices.clear()
        await self.execute("COMMIT")
        if self._raw.raw.notices:
            raise Unavailable("Postgres committed with a warning: a failover may undo it")

    async def _run(self, sql: str, parameters: Parameters) -> tuple[list[Row], int]:
        left = max(0.0, self._until - asyncio.get_running_loop().time())
        began = time.perf_counter()
        try:
            cursor = await self._raw.cursor()
            # None instead of no parameters: psycopg2 then leaves a percent sign alone.
            await cursor.execute(sql, parameters or None, timeout=left)
            # Here too: a connection can end between the answer and its rows.
            rows = await cursor.fetchall() if cursor.description else []
        except (psycopg2.Error, TimeoutError, asyncio.CancelledError) as error:
            raise translated(error) from None
        finally:
            _count_since(began)
        return rows, cursor.rowcount


class Database:
    """A few connections to one Postgres, lent in the order in which they are asked for.

    ``in_use`` are lent, ``waiting`` is how many wait for one; ``failures`` counts those who got
    none. ``age`` counts how often all connections were given up, because Postgres turned out not
    to be a primary.
    """

    def __init__(
        self, dsn: str, limits: PoolLimits, observe_wait: ObserveWait | None = None
    ) -> None:
        self.limits = limits
        self.in_use = 0
        self.waiting = 0
        self.failures = 0
        self.age = 0
        self._path: str | None = None
        self._told_at = -math.inf
        self._observe_wait = observe_wait
        self._dsn = dsn
        self._free: deque[aiopg.Connection] = deque()
        self._turn = asyncio.Semaphore(limits.pool_max)
        self._is_closed = False

    @classmethod
    async def open(
        cls, dsn: str, limits: PoolLimits, observe_wait: ObserveWait | None = None
    ) -> Self:
        """Connect ``pool_min`` times; raises DatabaseError where that is not possible."""
        database = cls(dsn, limits, observe_wait)
        try:
            for _ in range(limits.pool_min):
                database._free.append(await database._connect())
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def size(self) -> int:
        """Return how many connections may be lent at a time."""
        return self.limits.pool_max

    async def close(self) -> None:
        """Close every free connection now, and those that are lent when they come back."""
        self._is_closed = True
        while self._free:
            await self._free.pop().close()

    def distrust(self, error: ReadOnly) -> None:
        """Give up every connection: one of them, or a new one, does not lead to a primary.

        Those that are lent are closed when they come back.
        """
        self.age += 1
        while self._free:
            self._free.pop().close()
        now = asyncio.get_running_loop().time()
        if now >= self._told_at + _TELL_SECONDS:
            self._told_at = now
            logging.getLogger(SERVER).warning(
                "%s: requests get 503 until there is a primary that writes", error
            )

    async def prepare(self, name: str, sql: str, key_type: str) -> PreparedQuery:
        """Return a query of one array, prepared on a connection of its own.

        Whoever asked closes it. The plan is made once, and for a table that grows.
        """
        setup = (
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;"
            f" PREPARE {name} ({key_type}[]) AS {prove_primary(sql)}"
        )
        raw = await self._connect(setup)
        return PreparedQuery(raw, f"EXECUTE {name} (%s::{key_type}[])")

    @asynccontextmanager
    async def connection(self, seconds: float | None = None) -> AsyncIterator[Connection]:
        """Lend a connection, in autocommit; raises Unavailable where none can be had.

        Waiting for it, and all its statements, take ``seconds`` at most: as long as either of
        the limits, where nothing is said.
        """
        limits = self.limits
        most = max(limits.acquire_timeout_seconds, limits.query_timeout_seconds) + _GRACE_SECONDS
        until = asyncio.get_running_loop().time() + (seconds or most)
        raw = await self._take()
        age = self.age
        try:
            yield Connection(raw, until=until)
        except ReadOnly as error:
            self.distrust(error)
            raise
        finally:
            self._give_back(raw, is_trusted=age == self.age)

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
            await connection.commit()

    async def _take(self) -> aiopg.Connection:
        began = time.perf_counter()
        self.waiting += 1
        try:
            raw = await self._wait_for_one()
        except DatabaseError:
            self.failures += 1
            raise
        finally:
            self.waiting -= 1
            _count_since(began)
        self.in_use += 1
        if self._observe_wait is not None:
            self._observe_wait(time.perf_counter() - began)
        return raw

    async def _wait_for_one(self) -> aiopg.Connection:
        try:
            async with asyncio.timeout(self.limits.acquire_timeout_seconds):
                await self._turn.acquire()
                try:
                    return self._find_free() or await self._connect()
                except BaseException:
                    self._turn.release()
                    raise
        except TimeoutError as error:
            raise translated(error) from None

    async def _connect(self, setup: str = "") -> aiopg.Connection:
        try:
            opened = await connect(Wanted(self._dsn, self.limits, self._path, setup))
        except ReadOnly as error:
            self.distrust(error)
            raise
        self._path = opened.path
        return opened.raw

    def _find_free(self) -> aiopg.Connection | None:
        while self._free:
            raw = self._free.pop()
            if not raw.closed:
                return raw
        return None

    def _give_back(self, raw: aiopg.Connection, *, is_trusted: bool) -> None:
        if (
            raw.closed
            or not is_trusted
            or raw.raw.get_transaction_status() != TRANSACTION_STATUS_IDLE
            or self._is_closed
        ):
            raw.close()
        else:
            self._free.append(raw)
        self.in_use -= 1
        self._turn.release()


def _count_since(began: float) -> None:
    """Count what a request waited since some time, where it is one."""
    spent = current_timing()
    if spent is not None:
        spent.database += time.perf_counter() - began


async def _roll_back(connection: Connection) -> None:
    if connection.closed:
        return
    try:
        await connection.execute("ROLLBACK")
    except DatabaseError:
        await connection.close()
