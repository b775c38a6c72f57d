"""The queue for hashes: callers take turns, wait for a bounded time, and hash on worker threads."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakSet

from rules.claims import Claims
from rules.errors import CallerDisconnected, DatabaseUnavailable, Overloaded, RowLocked, Unavailable
from rules.hash_admission import Admission, Ticket
from rules.hash_workers import HashWorkers, Observe
from rules.turns import Caller, Turns

Result = TypeVar("Result")

# How much of the maximum wait is planned for: the next hashes may be slower than the last.
_MARGIN = 0.8
# The maximum number of callers that run and wait at a time, however fast hashes are.
MAX_TICKETS = 1000
# Upper bound of the wait for a turn in Retry-After, as a multiple of ``max_wait_seconds``.
_MAX_RETRY = 2
# Retry delay for callers dropped by a database outage.
_OUTAGE_RETRY_SECONDS = DatabaseUnavailable.retry_after_seconds


class Slot:
    """The right to run functions on the workers, one at a time, until the slot is released."""

    def __init__(self, workers: HashWorkers) -> None:
        self._workers: HashWorkers | None = workers

    async def run(self, function: Callable[[], Result]) -> Result:
        """Run a function on a worker; return what it returns."""
        if self._workers is None:
            raise RuntimeError("The slot was released.")
        return await self._workers.run(function)

    def release(self) -> None:
        """Give up the slot."""
        self._workers = None


class HashQueue:
    """Grants each caller a slot, in turn, to run slow functions on a few worker threads.

    ``workers`` is the number of slots. A caller that would wait longer than ``max_wait_seconds``
    for its result is rejected, unless a worker is free; ``seconds_each`` is an initial estimate of
    the time of one function. One account at one network has at most ``max_per_account`` callers.
    ``rejected`` counts callers that were not admitted, were displaced, or waited too long.
    ``observe_wait`` and ``observe_hash`` are called with the seconds that a caller waited, and that
    a function took.
    """

    def __init__(
        self,
        *,
        workers: int,
        max_wait_seconds: float,
        seconds_each: float,
        max_per_account: int = MAX_TICKETS,
        observe_wait: Observe | None = None,
        observe_hash: Observe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workers = workers
        self.max_wait_seconds = max_wait_seconds
        self.rejected = 0
        self._observe_wait = observe_wait
        self._hash_workers = HashWorkers(self.workers, seconds_each, observe_hash)
        self._admission = Admission(workers=self.workers, max_per_account=max_per_account)
        self._claims = Claims(clock)
        self._turns: Turns[Ticket] = Turns()
        self._last_number = 0
        self._free_slots = self.workers
        self._waiting: dict[asyncio.Task[object], Ticket] = {}
        self._abandoned: WeakSet[asyncio.Task[object]] = WeakSet()

    @property
    def running(self) -> int:
        """Return how many callers have a slot."""
        return self.workers - self._free_slots

    @property
    def waiting(self) -> int:
        """Return how many callers wait for a slot."""
        return len(self._turns)

    @property
    def has_free_worker(self) -> bool:
        """Return whether a new caller would get a slot at once."""
        return len(self._admission) < self.workers

    @property
    def seconds_each(self) -> float:
        """Return how long one function takes, as measured."""
        return self._hash_workers.seconds_each

    @asynccontextmanager
    async def slot(self, caller: Caller) -> AsyncIterator[Slot]:
        """Wait for a slot in turn, and hold it.

        Raises Overloaded if the wait would be too long, became longer than expected, or another
        caller took precedence; and CallerDisconnected in a task that was abandoned. If the body
        raises Unavailable, all waiting callers get that error, since none of them would succeed,
        unless it concerns this caller alone: Overloaded, or RowLocked.
        """
        ticket = self._admit(caller)
        try:
            await self._wait(ticket)
            slot = Slot(self._hash_workers)
            try:
                yield slot
            except Unavailable as error:
                if not isinstance(error, Overloaded | RowLocked):
                    self._drop_all(error)
                raise
            finally:
                slot.release()
                self._pass_on()
        finally:
            self._admission.remove(ticket)

    def abandon(self, task: "asyncio.Task[object]") -> None:
        """Drop the request of a task for a slot, now or later; a running function is completed."""
        self._abandoned.add(task)
        ticket = self._waiting.get(task)
        if ticket is not None and ticket.is_waiting:
            self._keep_claim(ticket)
            self._drop(ticket, CallerDisconnected())

    def close(self) -> None:
        """Drop the callers that wait, and stop the workers."""
        self._drop_all(CallerDisconnected())
        self._hash_workers.close()

    def _admit(self, caller: Caller) -> Ticket:
        """Return the ticket of a new caller; raises Overloaded or CallerDisconnected."""
        task = asyncio.current_task()
        if task is None or task in self._abandoned:
            raise CallerDisconnected
        self._last_number += 1
        ticket = Ticket(self._last_number, caller, self._claims.take(caller))
        if not self.has_free_worker:
            rejected = self._admission.find_rejected(ticket, self._max_tickets())
            if rejected is ticket:
                raise self._rejection(ticket)
            if rejected is not None:
                self._drop(rejected, self._rejection(rejected))
        self._admission.add(ticket)
        return ticket

    def _max_tickets(self) -> int:
        seconds = self.seconds_each
        allowed = self.max_wait_seconds * _MARGIN * self.workers
        within = MAX_TICKETS if seconds * MAX_TICKETS <= allowed else int(allowed / seconds)
        return max(self.workers, within)

    def _rejection(self, ticket: Ticket) -> Overloaded:
        self.rejected += 1
        return Overloaded(self._keep_claim(ticket))

    def _keep_claim(self, ticket: Ticket) -> int:
        """Keep the claim of a caller that got no slot; return the seconds until it may retry."""
        # How long a new caller would wait for its result.
        seconds = self.seconds_each * (len(self._admission) + 1) / self.workers
        # Bounded: the queue may be shorter by then, and the wait must not reveal when the account
        # had its last turn.
        until_turn = min(
            self._admission.seconds_until_turn(ticket), _MAX_RETRY * self.max_wait_seconds
        )
        seconds = max(seconds, until_turn)
        retry_after_seconds = math.ceil(seconds)
        self._claims.keep(ticket.caller, ticket.claim, retry_after_seconds)
        return retry_after_seconds

    async def _wait(self, ticket: Ticket) -> None:
        """Wait for a slot; raises Overloaded after the maximum wait."""
        began = time.perf_counter()
        if self._free_slots:
            self._free_slots -= 1
        else:
            await self._wait_in_turn(ticket)
        if self._observe_wait is not None:
            self._observe_wait(time.perf_counter() - began)

    async def _wait_in_turn(self, ticket: Ticket) -> None:
        task = asyncio.current_task()
        if task is None:
            raise CallerDisconnected
        ticket.turn = turn = asyncio.get_running_loop().create_future()
        self._waiting[task] = ticket
        self._turns.add(ticket.caller, ticket.standing, ticket)
        try:
            async with asyncio.timeout(self.max_wait_seconds):
                await turn
        except TimeoutError:
            self._give_up(ticket)
            raise self._rejection(ticket) from None
        except asyncio.CancelledError:
            self._give_up(ticket)
            raise
        finally:
            del self._waiting[task]
            if turn.done() and not turn.cancelled():
                turn.exception()  # marks it as retrieved, if a cancellation preceded it

    def _give_up(self, ticket: Ticket) -> None:
        """Stop waiting; pass on the slot if it was granted meanwhile."""
        turn, ticket.turn = ticket.turn, None
        if turn is None:
            return  # dropped, or passed over
        if turn.done() and not turn.cancelled():
            self._pass_on()
        else:
            self._turns.remove(ticket.caller, ticket.standing, ticket)

    def _pass_on(self) -> None:
        """Grant a slot that became free to the next caller."""
        while self._turns:
            ticket = self._turns.pop()
            if ticket.turn is not None and not ticket.turn.done():
                ticket.turn.set_result(None)
                return
            # Cancelled, but its task has not run since.
            ticket.turn = None
        self._free_slots += 1

    def _drop_all(self, error: Exception) -> None:
        for ticket in self._waiting.values():
            if ticket.is_waiting:
                # An outage does not use up a turn. It ends for all callers at once, so all get
                # the same delay.
                self._claims.keep(ticket.caller, ticket.claim, _OUTAGE_RETRY_SECONDS)
            self._drop(ticket, error)

    def _drop(self, ticket: Ticket, error: Exception) -> None:
        """End the wait of a ticket with an error, unless a slot was granted to it."""
        turn = ticket.turn
        if turn is None or turn.done():
            return
        self._turns.remove(ticket.caller, ticket.standing, ticket)
        self._admission.remove(ticket)
        ticket.turn = None
        turn.set_exception(error)
