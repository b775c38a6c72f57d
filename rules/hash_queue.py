"""Where hashes wait for a core: in turn, for a bounded time, and never in anybody's way."""

import asyncio
import math
import os
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import TypeVar
from weakref import WeakSet

from ops.timing import current_timing
from rules.errors import ClientGone, Overloaded, RowLocked, Unavailable
from rules.retries import Retries
from rules.turns import Caller, Standing, Turns

Result = TypeVar("Result")
# Called with a number of seconds.
Observe = Callable[[float], None]

# How far workers step back for the event loop (see nice(2)).
_NICENESS = 19
# How much of the time allowed is given away: the next hashes may be slower than the last.
_MARGIN = 0.8
# How many measurements count. Their median does: one worker that the system let starve for
# a moment says nothing of the others.
_MEASUREMENTS = 15
# How many callers run and wait at a time, however quick hashes are.
MOST_PLACES = 1000
# What one site may have of all places.
_SHARE_OF_SITE = 0.75
# What is kept for known callers, and for the others.
_SHARE_OF_GROUP = 0.5


@dataclass(eq=False, slots=True)
class _Ticket:
    """A caller with a place in the queue; ``turn`` is set while it waits.

    ``since`` is when it was refused first, if it has kept to Retry-After from then on.
    """

    number: int
    caller: Caller
    standing: Standing
    since: float | None = None
    turn: "asyncio.Future[None] | None" = None
    has_left: bool = False

    @property
    def waits(self) -> bool:
        return self.turn is not None and not self.turn.done()

    @property
    def pair(self) -> tuple[str, str]:
        return (self.caller.network, self.caller.account)


class HashQueue:
    """Runs slow functions on a few worker threads, each in a slot that callers get in turn.

    ``workers`` is how many run at a time, 0 for one per core. Nobody is let in who would wait
    longer than ``max_wait_seconds`` for the result, unless a worker is free; ``seconds_each``
    is how long one takes, as a first guess: the queue measures on. One account at one network has
    ``max_per_account`` places at most. ``refused`` counts callers that were not let in, gave way
    to others, or waited for too long. ``observe_wait`` and ``observe_hash`` are called with the
    seconds that a caller waited, and that a function took.
    """

    def __init__(
        self,
        *,
        workers: int,
        max_wait_seconds: float,
        seconds_each: float,
        max_per_account: int,
        observe_wait: Observe | None = None,
        observe_hash: Observe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workers = workers or os.cpu_count() or 1
        self.refused = 0
        self._observe_wait = observe_wait
        self._observe_hash = observe_hash
        self._max_wait_seconds = max_wait_seconds
        self._most_per_account = max_per_account
        self._seconds = deque([seconds_each], maxlen=_MEASUREMENTS)
        self._retries = Retries(clock)
        self._tickets = 0
        self._places = 0
        self._free_slots = self.workers
        self._turns: Turns[_Ticket] = Turns()
        # Places by site, by network and account, and of known callers and the others.
        self._sites: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._groups: Counter[bool] = Counter()
        self._tasks: dict[asyncio.Task[object], _Ticket] = {}
        self._abandoned: WeakSet[asyncio.Task[object]] = WeakSet()
        self._executor = ThreadPoolExecutor(self.workers, "hashing", _step_back)

    @property
    def running(self) -> int:
        """Return how many have a slot."""
        return self.workers - self._free_slots

    @property
    def waiting(self) -> int:
        """Return how many wait for a slot."""
        return len(self._turns)

    @property
    def has_free_worker(self) -> bool:
        """Return whether something new would begin at once."""
        return self._places < self.workers

    @asynccontextmanager
    async def slot(self, caller: Caller) -> AsyncIterator[None]:
        """Wait for a slot in turn, and hold it.

        Raises Overloaded where the wait would be too long, was longer than foreseen, or the place
        went to a caller that has fewer; and ClientGone in a task that was abandoned. Where the
        body raises Unavailable, all that wait get that error, where it is not about one row alone:
        none of them would fare better.
        """
        ticket = self._admit(caller)
        try:
            await self._wait(ticket)
            try:
                yield
            except Unavailable as error:
                if not isinstance(error, Overloaded | RowLocked):
                    self._drop_all(error)
                raise
            finally:
                self._pass_on()
        finally:
            self._leave(ticket)

    async def run(self, function: Callable[[], Result]) -> Result:
        """Run a function on a worker, for a caller that holds a slot; return what it returns."""
        running = self._executor.submit(_measured, function)
        result, seconds = await asyncio.wrap_future(running)
        self._seconds.append(seconds)
        spent = current_timing()
        if spent is not None:
            spent.hashing += seconds
        if self._observe_hash is not None:
            self._observe_hash(seconds)
        return result

    def abandon(self, task: "asyncio.Task[object]") -> None:
        """Drop what a task waits for, or will; what runs already goes on to its end."""
        self._abandoned.add(task)
        ticket = self._tasks.get(task)
        if ticket is not None:
            self._drop(ticket, ClientGone())

    def close(self) -> None:
        """Stop the workers; what waits is dropped."""
        self._drop_all(ClientGone())
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _admit(self, caller: Caller) -> _Ticket:
        """Give a caller a place; raises Overloaded, or ClientGone."""
        task = asyncio.current_task()
        if task is None or task in self._abandoned:
            raise ClientGone
        since = self._retries.take(caller)
        standing = Standing.UNKNOWN if since is None else Standing.RETURNING
        self._tickets += 1
        ticket = _Ticket(
            self._tickets, caller, Standing.KNOWN if caller.is_known else standing, since
        )
        if not self.has_free_worker:
            self._make_room(ticket)
        self._places += 1
        self._sites[caller.site] += 1
        self._pairs[ticket.pair] += 1
        self._groups[caller.is_known] += 1
        return ticket

    def _leave(self, ticket: _Ticket) -> None:
        if ticket.has_left:
            return
        ticket.has_left = True
        self._places -= 1
        _count_down(self._sites, ticket.caller.site)
        _count_down(self._pairs, ticket.pair)
        _count_down(self._groups, ticket.caller.is_known)

    def _make_room(self, newcomer: _Ticket) -> None:
        """Let another ticket give way where all places are taken; raises Overloaded."""
        most = self._most_places()
        of_site = max(self.workers, math.ceil(most * _SHARE_OF_SITE))
        if (
            self._pairs[newcomer.pair] >= self._most_per_account
            or self._sites[newcomer.caller.site] >= of_site
        ):
            raise self._refusal(newcomer)
        if self._places >= most:
            loser = self._find_loser(newcomer, most)
            if loser is None:
                raise self._refusal(newcomer)
            self._drop(loser, self._refusal(loser))

    def _find_loser(self, newcomer: _Ticket, most: int) -> _Ticket | None:
        """Return the ticket that gives way: of another group, of lower standing or a larger site.

        Known callers and the others each have a share that the other group cannot take. Within a
        group a site with more places gives way to one with fewer: the last of its largest account.
        Where all have the same, whoever was refused first has the longest claim.
        """
        waiting = [each for each in self._turns if each.waits]
        is_known = newcomer.caller.is_known
        if self._groups[is_known] < most * _SHARE_OF_GROUP:
            candidates = [each for each in waiting if each.caller.is_known != is_known]
            lower = candidates
        else:
            candidates = [each for each in waiting if each.caller.is_known == is_known]
            lower = [each for each in candidates if each.standing < newcomer.standing]
        if lower:
            lowest = min(each.standing for each in lower)
            return self._last_of_largest([each for each in lower if each.standing == lowest])
        equal = [each for each in candidates if each.standing == newcomer.standing]
        largest = self._last_of_largest(equal)
        if largest is None:
            return None
        sites = self._sites
        if sites[largest.caller.site] > sites[newcomer.caller.site] + 1:
            return largest
        latest = max(equal, key=_refused_at)
        return latest if _refused_at(newcomer) < _refused_at(latest) else None

    def _last_of_largest(self, tickets: list[_Ticket]) -> _Ticket | None:
        return max(
            tickets,
            key=lambda each: (
                self._sites[each.caller.site],
                self._pairs[each.pair],
                each.number,
            ),
            default=None,
        )

    def _most_places(self) -> int:
        seconds = median(self._seconds)
        allowed = self._max_wait_seconds * _MARGIN * self.workers
        most = MOST_PLACES if seconds * MOST_PLACES <= allowed else int(allowed / seconds)
        return max(self.workers, most)

    def _refusal(self, ticket: _Ticket) -> Overloaded:
        self.refused += 1
        refusal = Overloaded(math.ceil(self._wait_seconds()))
        self._retries.add(ticket.caller, refusal.retry_after_seconds, ticket.since)
        return refusal

    def _wait_seconds(self) -> float:
        """Return how long a newcomer would wait for the result, behind all that wait."""
        return median(self._seconds) * (self._places + 1) / self.workers

    async def _wait(self, ticket: _Ticket) -> None:
        """Wait for a slot; raises Overloaded after the longest wait."""
        began = time.perf_counter()
        if self._free_slots:
            self._free_slots -= 1
        else:
            await self._wait_in_turn(ticket)
        if self._observe_wait is not None:
            self._observe_wait(time.perf_counter() - began)

    async def _wait_in_turn(self, ticket: _Ticket) -> None:
        task = asyncio.current_task()
        if task is None:
            raise ClientGone
        ticket.turn = turn = asyncio.get_running_loop().create_future()
        self._tasks[task] = ticket
        self._turns.add(ticket.caller, ticket.standing, ticket)
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                await turn
        except TimeoutError:
            self._give_up(ticket)
            raise self._refusal(ticket) from None
        except asyncio.CancelledError:
            self._give_up(ticket)
            raise
        finally:
            del self._tasks[task]
            if turn.done() and not turn.cancelled():
                turn.exception()  # seen, where a cancellation came in between

    def _give_up(self, ticket: _Ticket) -> None:
        """Pass on a slot that came too late, or wait for none any more."""
        turn, ticket.turn = ticket.turn, None
        if turn is None:
            return  # dropped, or passed over
        if turn.done() and not turn.cancelled():
            self._pass_on()
        else:
            self._turns.remove(ticket.caller, ticket.standing, ticket)

    def _pass_on(self) -> None:
        while self._turns:
            ticket = self._turns.pop()
            if ticket.turn is not None and not ticket.turn.done():
                ticket.turn.set_result(None)
                return
            # Cancelled just now: its task has not come to know.
            ticket.turn = None
        self._free_slots += 1

    def _drop_all(self, error: Exception) -> None:
        for ticket in list(self._turns):
            self._drop(ticket, error)

    def _drop(self, ticket: _Ticket, error: Exception) -> None:
        """End the wait of a ticket with an error, unless its turn has come."""
        turn = ticket.turn
        if turn is None or turn.done():
            return
        self._turns.remove(ticket.caller, ticket.standing, ticket)
        self._leave(ticket)
        ticket.turn = None
        turn.set_exception(error)


def _refused_at(ticket: _Ticket) -> float:
    return math.inf if ticket.since is None else ticket.since


Key = TypeVar("Key")


def _count_down(counts: "Counter[Key]", key: Key) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def _measured(function: Callable[[], Result]) -> tuple[Result, float]:
    began = time.perf_counter()
    result = function()
    return result, time.perf_counter() - began


def _step_back() -> None:
    # On Linux a thread has a niceness of its own; elsewhere this would be the whole process's.
    if os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
