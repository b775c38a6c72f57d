"""A pool of connections to one Postgres, and transactions on them.

The pool of aiopg is not used: it connects while it holds the lock that every borrower needs, so one
slow connect delays all, and it does not serve borrowers in their order. Here a semaphore, which is
fair, guards a few connections.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Self

import aiopg
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from db.connecting import PoolLimits
from db.connection import Connection, close_once, counted_as_database_time
from db.connector import Connector
from db.errors import DatabaseError
from db.fences import fenced
from db.prepared import PreparedQuery, preparation
from db.primary_search import PrimarySearch
from db.role_settings import BEGIN, unprepared
from db.route import Route
from db.rows import Parameters
from db.translation import translate

__all__ = ["Connection", "Database"]

# Called with the seconds that a borrower waited for a connection.
ObserveWait = Callable[[float], None]
# Added to the time limit of a borrowed connection, so that the limit of its statement comes first.
_GRACE_SECONDS = 0.5


class Database:
    """A pool of connections to one Postgres, which serves borrowers in their order.

    ``in_use`` is the number of borrowed connections, ``waiting`` the number of waiting borrowers,
    and ``failures`` counts borrowers that got none.
    """

    def __init__(
        self, dsn: str, limits: PoolLimits, observe_wait: ObserveWait | None = None
    ) -> None:
        self.limits = limits
        self.in_use = 0
        self.waiting = 0
        self.failures = 0
        self._observe_wait = observe_wait
        self._connector = Connector(dsn, limits)
        self._connections = self._connector.connections
        self._search = PrimarySearch(self._connector.find_promoted, time.monotonic)
        self._slots = asyncio.Semaphore(limits.pool_max)
        self._is_closed = False

    @classmethod
    async def open(
        cls, dsn: str, limits: PoolLimits, observe_wait: ObserveWait | None = None
    ) -> Self:
        """Open a pool with ``pool_min`` connections; raises DatabaseError."""
        database = cls(dsn, limits, observe_wait)
        try:
            for _ in range(limits.pool_min):
                database._connections.put(await database._connector.connect())
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def is_usable(self) -> bool:
        """Return whether connections can be opened before this process is restarted."""
        return self._connector.unusable is None

    @property
    def size(self) -> int:
        """Return the maximum number of borrowed connections."""
        return self.limits.pool_max

    @property
    def generation(self) -> int:
        """Return how often all connections were discarded."""
        return self._connector.generation

    @property
    def route(self) -> Route:
        """Return the route to the primary."""
        return self._connector.route

    async def close(self) -> None:
        """Close every free connection now, and every borrowed one when it is returned."""
        self._is_closed = True
        await self._search.close()
        self._connections.close_free()

    def react(self, error: DatabaseError) -> None:
        """Discard every connection if the error of one implies that none can be used."""
        self._connector.react(error)

    def log_outages(self) -> None:
        """Log outages from now on, since requests are served."""
        self._connector.log_outages()

    def record_answer(self) -> None:
        """Record that a lookup was answered: an outage is over."""
        self._connector.record_answer()

    def search_primary(self) -> None:
        """Look for a host that has replaced the primary, whose answer is late."""
        self._search.begin()

    async def prepare(
        self, name: str, sql: str, key_type: str, *, acknowledged: bool = False
    ) -> PreparedQuery:
        """Prepare a query of one array on a connection of its own, which the caller closes.

        If ``acknowledged``, a result is returned only after a synchronous standby acknowledged it.
        """
        if self.limits.shares_sessions:
            raw = await self._connector.connect()
            sql = fenced(sql, acknowledged=acknowledged, timeline=self.route.timelines.newest)
            statement = unprepared(sql, key_type, self._connector.search_path or "")
        else:
            sql = fenced(sql, acknowledged=acknowledged)
            raw = await self._connector.connect(preparation(name, sql, key_type))
            statement = f"EXECUTE {name} (%s::{key_type}[])"
        query = PreparedQuery(raw, statement, acknowledged=acknowledged)
        self._connections.watch(query)
        return query

    @asynccontextmanager
    async def connection(self, seconds: float | None = None) -> AsyncIterator[Connection]:
        """Borrow a connection in autocommit mode; raises Unavailable if none is available.

        The wait for it and all its statements take at most ``seconds``; the default is the longest
        of the limits.
        """
        deadline = self._deadline(seconds)
        raw = await self._borrow()
        generation = self.generation
        try:
            with self._using(raw):
                yield Connection(raw, deadline=deadline, begin=self._begin())
        finally:
            self._return(raw, is_current=generation == self.generation)

    @asynccontextmanager
    async def transaction(self, seconds: float | None = None) -> AsyncIterator[Connection]:
        """Borrow a connection in a transaction; commit it, or roll it back on an error."""
        async with self.connection(seconds) as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def dedicated_connection(self, seconds: float) -> AsyncIterator[Connection]:
        """Open a connection outside the pool, in autocommit mode, for at most ``seconds``.

        It is for long work, which must not take a connection from requests. Its statements fail
        once all connections have been discarded.
        """
        deadline = self._deadline(seconds)
        raw = await self._connector.connect()
        check = partial(self._connector.check, self.generation)
        try:
            with self._using(raw):
                yield Connection(raw, deadline=deadline, begin=self._begin(), check=check)
        finally:
            close_once(raw)

    @contextmanager
    def _using(self, raw: aiopg.Connection) -> Iterator[None]:
        self._connections.lend(raw)
        try:
            with self._connector.reacting():
                yield
        finally:
            self._connections.take_back(raw)

    def _deadline(self, seconds: float | None) -> float:
        limits = self.limits
        longer = max(limits.acquire_timeout_seconds, limits.query_timeout_seconds)
        return asyncio.get_running_loop().time() + (seconds or longer + _GRACE_SECONDS)

    async def _borrow(self) -> aiopg.Connection:
        began = time.perf_counter()
        self.waiting += 1
        try:
            with counted_as_database_time():
                raw = await self._acquire()
        except DatabaseError:
            self.failures += 1
            raise
        finally:
            self.waiting -= 1
        self.in_use += 1
        if self._observe_wait is not None:
            self._observe_wait(time.perf_counter() - began)
        return raw

    async def _acquire(self) -> aiopg.Connection:
        try:
            async with asyncio.timeout(self.limits.acquire_timeout_seconds):
                await self._slots.acquire()
                try:
                    return self._connections.take() or await self._connector.connect()
                except BaseException:
                    self._slots.release()
                    raise
        except TimeoutError as error:
            raise translate(error) from None

    def _begin(self) -> tuple[str, Parameters]:
        if self.limits.shares_sessions:
            return BEGIN, {"search_path": self._connector.search_path}
        return "BEGIN", ()

    def _return(self, raw: aiopg.Connection, *, is_current: bool) -> None:
        is_usable = (
            is_current
            and self.is_usable
            and not self._is_closed
            and not raw.closed
            and raw.raw.get_transaction_status() == TRANSACTION_STATUS_IDLE
        )
        if is_usable:
            self._connections.put(raw)
        else:
            if raw.closed and is_current:
                self.route.avoid_primary()
            close_once(raw)
        self.in_use -= 1
        self._slots.release()
