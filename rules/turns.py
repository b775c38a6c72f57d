"""The order in which waiting callers get a slot: by site, then by network, then by account.

First come, first served would give a caller that sends many requests many slots. Here sites take
turns, however many of their callers wait; a site is an IPv4 address, or the /48 of an IPv6
address. Within a site its networks (/64) take turns, and within a network its accounts. Callers of
one account are served in the order in which they arrived.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, Self, TypeVar

from rules.origin import network_of, site_of

Item = TypeVar("Item")


class Standing(IntEnum):
    """The precedence of a caller that requests a slot, lowest first."""

    UNKNOWN = 0
    # It was rejected before, and returned when it was due.
    RETURNING = 1
    # The account logged in from this network before, or a token proved that it logged in.
    KNOWN = 2


@dataclass(frozen=True, slots=True)
class Caller:
    """The origin and account of a request for a slot; ``account`` is any name for one account."""

    site: str
    network: str
    account: str
    is_known: bool = False

    @classmethod
    def at(cls, ip: str | None, account: str, *, is_known: bool = False) -> Self:
        """Return the caller at an IP address."""
        return cls(site_of(ip), network_of(ip), account, is_known)

    @property
    def pair(self) -> tuple[str, str]:
        return (self.network, self.account)


class Turns(Generic[Item]):
    """Waiting callers, in the order in which they get a slot.

    Known callers and the others alternate, if both wait. Of the others, those that returned
    when they were due come first.
    """

    def __init__(self) -> None:
        self._by_standing = {standing: _Branch[Item](depth=3) for standing in Standing}
        self._is_turn_of_known = True

    def __len__(self) -> int:
        """Return how many callers wait."""
        return sum(len(branch) for branch in self._by_standing.values())

    def add(self, caller: Caller, standing: Standing, item: Item) -> None:
        """Add an item."""
        self._by_standing[standing].add(_path(caller), item)

    def remove(self, caller: Caller, standing: Standing, item: Item) -> None:
        """Remove an item; raises KeyError if it does not wait."""
        self._by_standing[standing].remove(_path(caller), item)

    def pop(self) -> Item:
        """Remove and return the next item; raises IndexError if none waits."""
        known = self._by_standing[Standing.KNOWN]
        returning = self._by_standing[Standing.RETURNING]
        others = returning or self._by_standing[Standing.UNKNOWN]
        is_for_known = bool(known) and (self._is_turn_of_known or not others)
        self._is_turn_of_known = not is_for_known
        return known.pop() if is_for_known else others.pop()


class _Branch(Generic[Item]):
    """A node in the tree of waiting items: its children take turns."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._count = 0
        self._children: OrderedDict[str, _Branch[Item]] = OrderedDict()
        self._items: deque[Item] = deque()

    def __len__(self) -> int:
        return self._count

    def add(self, path: tuple[str, ...], item: Item) -> None:
        if not self._depth:
            self._items.append(item)
        else:
            child = self._children.get(path[0])
            if child is None:
                child = self._children[path[0]] = _Branch(self._depth - 1)
            child.add(path[1:], item)
        self._count += 1

    def remove(self, path: tuple[str, ...], item: Item) -> None:
        if not self._depth:
            try:
                self._items.remove(item)
            except ValueError:
                raise KeyError(item) from None
        else:
            child = self._children[path[0]]
            child.remove(path[1:], item)
            if not child:
                del self._children[path[0]]
        self._count -= 1

    def pop(self) -> Item:
        if not self._count:
            raise IndexError("nothing waits")
        self._count -= 1
        if not self._depth:
            return self._items.popleft()
        name, child = next(iter(self._children.items()))
        item = child.pop()
        if child:
            self._children.move_to_end(name)
        else:
            del self._children[name]
        return item


def _path(caller: Caller) -> tuple[str, ...]:
    return (caller.site, caller.network, caller.account)
