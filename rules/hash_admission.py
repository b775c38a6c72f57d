"""Which callers are admitted to the hash queue when it is full."""

import asyncio
import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import TypeVar

from rules.claims import Claim
from rules.turns import Caller, Standing

# The share of all tickets that one site may hold.
_SITE_SHARE = 0.75
# The share that is reserved for known callers, and the share for the others.
_GROUP_SHARE = 0.5

Key = TypeVar("Key", bound=Hashable)


@dataclass(eq=False, slots=True)
class Ticket:
    """An admitted caller, from its arrival until it leaves; ``turn`` is set while it waits."""

    number: int
    caller: Caller
    claim: Claim
    turn: "asyncio.Future[None] | None" = None

    @property
    def is_waiting(self) -> bool:
        return self.turn is not None and not self.turn.done()

    @property
    def standing(self) -> Standing:
        if self.caller.is_known:
            return Standing.KNOWN
        return Standing.RETURNING if self.claim.is_due else Standing.UNKNOWN


class Admission:
    """Holds the tickets, and counts them by account and by group: known callers, and others.

    One account at one network holds at most ``max_per_account`` tickets; a site may hold as many
    as there are ``workers``, however small its share.
    """

    def __init__(self, *, workers: int, max_per_account: int) -> None:
        self._workers = workers
        self._max_per_account = max_per_account
        self._sites: dict[str, set[Ticket]] = {}
        self._networks: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._groups: Counter[bool] = Counter()

    def __len__(self) -> int:
        """Return how many tickets are held."""
        return self._groups.total()

    def add(self, ticket: Ticket) -> None:
        """Hold a ticket."""
        self._sites.setdefault(ticket.caller.site, set()).add(ticket)
        self._networks[ticket.caller.network] += 1
        self._pairs[ticket.caller.pair] += 1
        self._groups[ticket.caller.is_known] += 1

    def remove(self, ticket: Ticket) -> None:
        """Stop holding a ticket; a second call has no effect."""
        at_site = self._at(ticket.caller.site)
        if ticket not in at_site:
            return
        at_site.remove(ticket)
        if not at_site:
            del self._sites[ticket.caller.site]
        _decrement(self._networks, ticket.caller.network)
        _decrement(self._pairs, ticket.caller.pair)
        _decrement(self._groups, ticket.caller.is_known)

    def find_rejected(self, new: Ticket, max_tickets: int) -> Ticket | None:
        """Return the ticket to reject: the new one or a waiting one; None while there is room.

        A site that has used up its share displaces only its own tickets.
        """
        at_site = self._at(new.caller.site)
        candidates: Iterable[Ticket] = chain.from_iterable(self._sites.values())
        if self._pairs[new.caller.pair] >= self._max_per_account:
            return new
        if len(at_site) >= max(self._workers, math.ceil(max_tickets * _SITE_SHARE)):
            candidates = at_site
        elif len(self) < max_tickets:
            return None
        waiting = [ticket for ticket in candidates if ticket.is_waiting]
        return self._find_displaced(new, waiting, max_tickets) or new

    def seconds_until_turn(self, ticket: Ticket) -> float:
        """Return after how many seconds a rejected ticket would have a sufficient claim.

        Each second, the claims that suffice become later by one second. The weakest waiting claim
        does not show which suffice: it may have used a gap, and be displaced at once.
        """
        standing = max(ticket.standing, Standing.RETURNING)
        since = [
            other.claim.since
            for other in self._at(ticket.caller.site)
            if other.is_waiting and other.standing == standing
        ]
        return ticket.claim.since - median(since) if since else 0.0

    def _at(self, site: str) -> set[Ticket]:
        return self._sites.get(site, set())

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

        A site with more tickets is displaced by one with fewer, and so is a network within a site.
        If they are the same, or differ by one ticket only, the stronger claim counts.
        """
        largest = self._last_of_largest(equal)
        if largest is not None and self._surplus(largest, new) > 1:
            return largest
        rivals = [
            ticket
            for ticket in equal
            if ticket.caller.network == new.caller.network or self._surplus(ticket, new) > 0
        ]
        last = max(rivals, key=_lateness, default=new)
        return last if new.claim.since < last.claim.since else None

    def _surplus(self, ticket: Ticket, new: Ticket) -> int:
        """Return how many more tickets the site, or else the network, has than that of ``new``."""
        one, other = ticket.caller, new.caller
        if one.site == other.site:
            return self._networks[one.network] - self._networks[other.network]
        return len(self._at(one.site)) - len(self._at(other.site))

    def _last_of_largest(self, tickets: list[Ticket]) -> Ticket | None:
        """Return the ticket with the weakest claim, of the largest account of the largest site."""
        return max(
            tickets,
            key=lambda ticket: (
                len(self._at(ticket.caller.site)),
                self._networks[ticket.caller.network],
                self._pairs[ticket.caller.pair],
                *_lateness(ticket),
            ),
            default=None,
        )


def _lateness(ticket: Ticket) -> tuple[float, int]:
    return (ticket.claim.since, ticket.number)


def _decrement(counts: Counter[Key], key: Key) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
