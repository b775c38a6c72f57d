"""Look-ups that every request waits for: joined, never cached.

Requests that ask in the same turn of the loop share one statement; while it is under way
the next ones gather. The statement is always sent after the request arrived and its answer
is used for those who wait for it, once: what was revoked before the request is not found.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from db.errors import DatabaseError, ReadOnly, Unavailable
from db.pool import Database
from db.prepared import PreparedQuery
from db.rows import Row
from ops.timing import RequestTiming, current_timing

Found = TypeVar("Found")
# Told of each statement that was answered: how many keys it asked for, and the seconds it took.
ObserveStatement = Callable[[int, float], None]

# How many keys one statement asks for at the most.
_BATCH_SIZE = 500
# For how long newcomers may join: those of one batch wait, at most, equally long but for this.
_GATHER_SECONDS = 0.2
# How often a look is taken for what has waited too long.
_WATCH_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class LookupQuery(Generic[Found]):
    """A query for many keys at once.

    ``sql`` takes an array of ``key_type`` as $1 and returns the key, which is never null, in the
    first column; ``make`` turns the others into what is found.
    """

    name: str
    sql: str
    key_type: str
    make: Callable[[Row], Found]


class BatchLoader(Generic[Found]):
    """Finds rows by their keys, over one connection of its own that heals itself.

    ``failures`` counts the batches of keys that were not answered.
    """

    def __init__(
        self,
        database: Database,
        query: LookupQuery[Found],
        observe: ObserveStatement | None = None,
    ) -> None:
        self.failures = 0
        self._observe = observe
        self._database = database
        self._query = query
        self._loop = asyncio.get_running_loop()
        self._prepared: PreparedQuery | None = None
        self._age = database.age
        self._batches: deque[_Batch[Found]] = deque()
        self._sent: _Batch[Found] | None = None
        self._is_busy = False
        self._is_closed = False
        self._connecting: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None

    def find(self, key: str) -> Awaitable[Found | None]:
        """Return what there is for a key, or None.

        Raises Unavailable where Postgres does not answer within the time for which a
        connection is waited for, and after close().
        """
        if self._is_closed:
            raise _closed()
        if not self._batches or not self._batches[-1].is_open:
            self._batches.append(_Batch(self._loop))
        if not self._is_busy:
            self._is_busy = True
            # In the loop's next turn: whoever asks in this one comes along.
            self._loop.call_soon(self._send_next)
            if self._watch is None:
                self._watch = self._loop.call_later(_WATCH_SECONDS, self._look_after)
        return self._batches[-1].add(key)

    async def close(self) -> None:
        """Close the connection; whoever still waits is told so."""
        self._is_closed = True
        if self._watch is not None:
            self._watch.cancel()
        if self._connecting is not None:
            await self._connecting
        if self._sent is not None:
            self._sent.fail(_closed())
        self._fail_all(_closed())
        if self._prepared is not None:
            self._prepared.close()

    def _send_next(self) -> None:
        if not self._batches or self._is_closed:
            self._is_busy = False
        elif self._prepared is None or self._prepared.closed or self._is_distrusted():
            self._connecting = self._loop.create_task(self._connect())
        else:
            self._sent = batch = self._batches.popleft()
            batch.sent_at = time.perf_counter()
            self._prepared.send(batch.keys, partial(self._receive, batch))

    def _receive(
        self, batch: "_Batch[Found]", rows: list[Row], error: DatabaseError | None
    ) -> None:
        self._sent = None
        if isinstance(error, ReadOnly):
            self._database.distrust(error)
        if error is None:
            if self._observe is not None:
                self._observe(batch.size, time.perf_counter() - batch.sent_at)
            make = self._query.make
            # Before the key stands what PreparedQuery looked at, in a row without a key as well.
            batch.answer({row[1]: make(row[2:]) for row in rows if row[1] is not None})
        elif batch.may_be_sent_again:
            # The connection may have died while it lay idle: that says nothing of Postgres now.
            batch.may_be_sent_again = False
            self._batches.appendleft(batch)
        else:
            self._fail(batch, error)
        self._send_next()

    def _is_distrusted(self) -> bool:
        """Tell whether the database was given up since we connected."""
        return self._age != self._database.age

    async def _connect(self) -> None:
        query = self._query
        if self._prepared is not None and not self._prepared.closed:
            self._prepared.close()
        try:
            self._age = self._database.age
            self._prepared = await self._database.prepare(query.name, query.sql, query.key_type)
        except DatabaseError as error:
            # Nobody who waits by now would fare better.
            self._fail_all(error)
        self._send_next()

    def _fail_all(self, error: DatabaseError) -> None:
        while self._batches:
            self._fail(self._batches.popleft(), error)

    def _fail(self, batch: "_Batch[Found]", error: DatabaseError) -> None:
        if not batch.has_failed:
            self.failures += 1
        batch.fail(error)

    def _look_after(self) -> None:
        """End what has waited too long: one timer for all, not one for each."""
        limits = self._database.limits
        now = self._loop.time()
        late = Unavailable("Postgres did not answer in time.")
        if self._sent and self._sent.began < now - limits.acquire_timeout_seconds:
            self._fail(self._sent, late)
        while self._batches and self._batches[0].began < now - limits.acquire_timeout_seconds:
            self._fail(self._batches.popleft(), late)
        if self._prepared is not None:
            self._prepared.give_up(sent_before=now - limits.query_timeout_seconds)
        again = self._loop.call_later(_WATCH_SECONDS, self._look_after) if self._is_busy else None
        self._watch = again


def _closed() -> Unavailable:
    return Unavailable("The look-up was closed.")


class _Batch(Generic[Found]):
    """Those who wait for one statement, each with a future of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[str, list[asyncio.Future[Found | None]]] = {}
        # Since when the requests wait that asked; one that asks twice waits once.
        self._since: dict[RequestTiming, float] = {}
        self.began = loop.time()
        self.sent_at = 0.0
        self.may_be_sent_again = True
        self.has_failed = False

    @property
    def is_open(self) -> bool:
        """Tell whether more may join: not many, and not later than these few waited."""
        return len(self._waiting) < _BATCH_SIZE and self._loop.time() < self.began + _GATHER_SECONDS

    @property
    def size(self) -> int:
        """Return how many keys are asked for."""
        return len(self._waiting)

    @property
    def keys(self) -> list[str]:
        return list(self._waiting)

    def add(self, key: str) -> "asyncio.Future[Found | None]":
        answer: asyncio.Future[Found | None] = self._loop.create_future()
        self._waiting.setdefault(key, []).append(answer)
        spent = current_timing()
        if spent is not None:
            self._since.setdefault(spent, time.perf_counter())
        return answer

    def answer(self, found: dict[str, Found]) -> None:
        """Give everybody their answer."""
        self._count_time()
        for key, answers in self._waiting.items():
            for answer in answers:
                # Done already: who waited was too late, or went away.
                if not answer.done():
                    answer.set_result(found.get(key))

    def fail(self, error: DatabaseError) -> None:
        """Give the error to everybody who has no answer yet."""
        self._count_time()
        self.may_be_sent_again = False
        self.has_failed = True
        for answers in self._waiting.values():
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)

    def _count_time(self) -> None:
        now = time.perf_counter()
        for spent, since in self._since.items():
            spent.database += now - since
        self._since.clear()
