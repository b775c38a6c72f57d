"""Lookups by key, batched into one statement, and never cached.

Lookups in the same turn of the loop share one statement; during it, the next batch forms. A
statement is always sent after the requests that it serves arrived, and its result serves no other:
a token that was revoked before the request is not found.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Generic

from db.acknowledgements import Acknowledgements, late
from db.batch import Batch, Found
from db.errors import DatabaseError, Unavailable
from db.pool import Database
from db.prepared import PreparedQuery
from db.rows import Row

# Called after each statement with its number of keys, and the seconds that it took.
ObserveStatement = Callable[[int, float], None]

# The interval between checks for time limits.
_CHECK_SECONDS = 0.1
# A statement is late after this time: Postgres needs less than a millisecond, a standby a few.
LATE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class LookupQuery(Generic[Found]):
    """A query for many keys.

    ``sql`` takes an array of ``key_type`` as $1, and returns the key, which is never null, in the
    first column; ``make`` builds the result from the others.
    """

    name: str
    sql: str
    key_type: str
    make: Callable[[Row], Found]


class BatchLoader(Generic[Found]):
    """Finds rows by key, on a connection of its own, which it replaces after a failure.

    ``failures`` counts failed batches. With ``acknowledgements``, which the lookups share, a
    synchronous standby acknowledges each statement.
    """

    def __init__(
        self,
        database: Database,
        query: LookupQuery[Found],
        observe: ObserveStatement | None = None,
        acknowledgements: Acknowledgements | None = None,
    ) -> None:
        self.failures = 0
        self._acknowledgements = acknowledgements
        self._observe = observe
        self._database = database
        self._query = query
        self._loop = asyncio.get_running_loop()
        self._prepared: PreparedQuery | None = None
        self._batches: deque[Batch[Found]] = deque()
        self._sent: Batch[Found] | None = None
        self._is_busy = False
        self._is_closed = False
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def find(self, key: str) -> Awaitable[Found | None]:
        """Return the row of a key, or None.

        Raises Unavailable, when awaited, if Postgres does not answer within the time limit for
        acquiring a connection, and after close().
        """
        if self._is_closed:
            return self._closed_result()
        if not self._batches or not self._batches[-1].is_open:
            self._batches.append(Batch(self._loop))
        if not self._is_busy:
            self._is_busy = True
            # In the next turn of the loop: lookups later in this one join the batch.
            self._loop.call_soon(self._send_next)
            if self._timer is None:
                self._timer = self._loop.call_later(_CHECK_SECONDS, self._check_time_limits)
        return self._batches[-1].add(key)

    async def close(self) -> None:
        """Close the connection; pending lookups fail."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._connecting is not None:
            await self._connecting
        if self._sent is not None:
            self._sent.fail(_closed())
        self._fail_all(_closed())
        if self._prepared is not None:
            self._prepared.close()

    def _closed_result(self) -> "asyncio.Future[Found | None]":
        result: asyncio.Future[Found | None] = self._loop.create_future()
        result.set_exception(_closed())
        return result

    def _send_next(self) -> None:
        if not self._batches or self._is_closed:
            self._is_busy = False
        elif self._prepared is None or self._prepared.closed:
            # In an empty context: the batch itself adds the wait to the database time of requests.
            self._connecting = self._loop.create_task(self._connect(), context=Context())
        else:
            self._sent = batch = self._batches.popleft()
            batch.sent_at = time.perf_counter()
            self._prepared.send(batch.keys, partial(self._receive, batch))

    def _receive(self, batch: Batch[Found], rows: list[Row], error: DatabaseError | None) -> None:
        self._sent = None
        if error is not None:
            self._database.react(error)
        else:
            self._database.record_answer()
            if self._acknowledgements is not None:
                self._acknowledgements.record()
        seconds = time.perf_counter() - batch.sent_at
        if error is None:
            self._resolve(batch, rows)
        elif batch.can_retry:
            # The connection may have broken while idle, which says nothing about Postgres now.
            batch.can_retry = False
            self._batches.appendleft(batch)
        else:
            self._fail(batch, error)
        self._send_next()
        if error is None and self._observe is not None:
            self._observe(batch.size, seconds)

    def _resolve(self, batch: Batch[Found], rows: list[Row]) -> None:
        make = self._query.make
        try:
            # The fence precedes the key; a row without a key consists of the fence only.
            found = {row[1]: make(row[2:]) for row in rows if row[1] is not None}
        except Exception as error:  # noqa: BLE001 - the requests would wait forever
            self._fail(batch, error)
        else:
            batch.resolve(found)

    async def _connect(self) -> None:
        query = self._query
        try:
            if self._acknowledgements is not None:
                self._acknowledgements.spend_reconnect(self._database.generation)
            self._prepared = await self._database.prepare(
                query.name,
                query.sql,
                query.key_type,
                acknowledged=self._acknowledgements is not None,
            )
        except Exception as error:  # noqa: BLE001 - no failure may leave the loader busy
            # Every waiting batch, since another attempt now would fail, too.
            self._fail_all(error)
        self._send_next()

    def _fail_all(self, error: Exception) -> None:
        while self._batches:
            self._fail(self._batches.popleft(), error)

    def _fail(self, batch: Batch[Found], error: Exception) -> None:
        if not batch.has_failed:
            self.failures += 1
        batch.fail(error)

    def _check_time_limits(self) -> None:
        """Fail batches that have waited too long: one timer serves all lookups."""
        limits = self._database.limits
        now = self._loop.time()
        timeout = late(acknowledged=self._acknowledgements is not None)
        if self._sent and self._sent.began < now - limits.acquire_timeout_seconds:
            self._fail(self._sent, timeout)
        while self._batches and self._batches[0].began < now - limits.acquire_timeout_seconds:
            self._fail(self._batches.popleft(), timeout)
        if self._prepared is not None:
            self._check_statement(self._prepared, now)
        self._timer = (
            self._loop.call_later(_CHECK_SECONDS, self._check_time_limits)
            if self._is_busy
            else None
        )

    def _check_statement(self, prepared: PreparedQuery, now: float) -> None:
        """Look for a new primary when a statement is late; abort it after the time limit."""
        if prepared.is_waiting(since=now - self._database.limits.query_timeout_seconds):
            self._database.route.avoid_primary()
            if self._acknowledgements is not None:
                self._acknowledgements.record_timeout(self._database.generation)
            prepared.abort()
        elif prepared.is_waiting(since=now - LATE_SECONDS):
            self._database.search_primary()


def _closed() -> Unavailable:
    return Unavailable("the lookup is closed")
