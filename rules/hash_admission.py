"""Which callers are admitted to the hash queue when it is full."""

import asyncio
import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from rules.turns import Caller, Standing

# The share of all tickets that one site may hold.
_SITE_SHARE = 0.75
# The share that is reserved for known callers, and the share for the others.
_GROUP_SHARE = 0.5

Key = TypeVar("Key", bound=Hashable)


@dataclass(eq=False, slots=True)
class Ticket:
    """An admitted caller, from its arrival until it leaves; ``turn`` is set while it waits.

    ``first_rejected_at`` is set if it was rejected before, and honored Retry-After since.
    """

    number: int
    caller: Caller
    standing: Standing
    first_rejected_at: float | None = None
    turn: "asyncio.Future[None] | None" = None
    has_left: bool = False

    @property
    def is_waiting(self) -> bool:
        return self.turn is not None and not self.turn.done()

    @property
    def pair(self) -> tuple[str, str]:
        return (self.caller.network, self.caller.account)


class Admission:
    """Counts the tickets by site, by network and account, and by group: known callers or others.

    One account at one network holds at most ``max_per_account`` tickets; a site may hold as many
    as there are ``workers``, however small its share.
    """

    def __init__(self, *, workers: int, max_per_account: int) -> None:
        self._workers = workers
        self._max_per_account = max_per_account
        self._count = 0
        self._sites: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._groups: Counter[bool] = Counter()

    def __len__(self) -> int:
        """Return how many tickets are held."""
        return self._count

    def add(self, ticket: Ticket) -> None:
        """Count a ticket."""
        self._count += 1
        self._sites[ticket.caller.site] += 1
        self._pairs[ticket.pair] += 1
        self._groups[ticket.caller.is_known] += 1

    def remove(self, ticket: Ticket) -> None:
        """Stop counting a ticket; a second call has no effect."""
        if ticket.has_left:
            return
        ticket.has_left = True
        self._count -= 1
        _decrement(self._sites, ticket.caller.site)
        _decrement(self._pairs, ticket.pair)
        _decrement(self._groups, ticket.caller.is_known)

    def find_rejected(
        self, new: Ticket, tickets: Iterable[Ticket], max_tickets: int
    ) -> Ticket | None:
        """Return the ticket to reject: the new one, one that waits, or None while there is room.

        ``tickets`` may include some that no longer wait.
        """
        max_per_site = max(self._workers, math.ceil(max_tickets * _SITE_SHARE))
        if (
            self._pairs[new.pair] >= self._max_per_account
            or self._sites[new.caller.site] >= max_per_site
        ):
            return new
        if self._count < max_tickets:
            return None
        waiting = [ticket for ticket in tickets if ticket.is_waiting]
        return self._find_displaced(new, waiting, max_tickets) or new

    def _find_displaced(
        self, new: Ticket, waiting: list[Ticket], max_tickets: int
    ) -> Ticket | None:
        """Return the ticket that a new ticket displaces, or None.

        Known callers and the others each have a share that the other group cannot take. Within a
        group, a ticket of lower standing is displaced.
        """
        is_known = new.caller.is_known
        if self._groups[is_known] < max_tickets * _GROUP_SHARE:
            peers: list[Ticket] = []
            lower = [ticket for ticket in waiting if ticket.caller.is_known != is_known]
        else:
            peers = [ticket for ticket in waiting if ticket.caller.is_known == is_known]
            lower = [ticket for ticket in peers if ticket.standing < new.standing]
        if lower:
            lowest = min(ticket.standing for ticket in lower)
            return self._last_of_largest([each for each in lower if each.standing == lowest])
        equal = [ticket for ticket in peers if ticket.standing == new.standing]
        return self._find_displaced_equal(new, equal)

    def _find_displaced_equal(self, new: Ticket, equal: list[Ticket]) -> Ticket | None:
        """Return the ticket of the same standing that a new ticket displaces, or None.

        A site with more tickets is displaced by one with fewer. If all have as many, the caller
        that was rejected first has the strongest claim.
        """
        largest = self._last_of_largest(equal)
        if largest is None:
            return None
        if self._sites[largest.caller.site] > self._sites[new.caller.site] + 1:
            return largest
        latest = max(equal, key=_first_rejection)
        return latest if _first_rejection(new) < _first_rejection(latest) else None

    def _last_of_largest(self, tickets: list[Ticket]) -> Ticket | None:
        """Return the newest ticket of the largest account of the largest site."""
        return max(
            tickets,
            key=lambda ticket: (
                self._sites[ticket.caller.site],
                self._pairs[ticket.pair],
                ticket.number,
            ),
            default=None,
        )


def _first_rejection(ticket: Ticket) -> float:
    return math.inf if ticket.first_rejected_at is None else ticket.first_rejected_at


def _decrement(counts: Counter[Key], key: Key) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
