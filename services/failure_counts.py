"""Failures that anybody can cause, counted, so that nobody fills the audit trail with them.

Of each kind the first one from a network in a minute is an event at once, whomever it is about:
whether a statement is sent must not depend on whether there is such a user. Those that follow it
are counted here, and become one event when the minute is over: of a known user or client by
themselves, of all others together. A minute has room for a bounded number of networks and of
users; what has none is counted in one event for each kind, which names no address.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from db.rows import NewEvent
from rules.origin import network_of

MINUTE = 60
# Of a kind, in a minute: networks, and known users that are tried from one.
MOST_UNKNOWN = 30
MOST_KNOWN = 1_000


@dataclass(frozen=True, slots=True)
class _Key:
    """What is counted together; without a network, from wherever there was no room for."""

    minute: int
    kind: str
    network: str | None
    subject: str | None


class FailureCounts:
    """Tells which failures are events, and counts the others until they are taken."""

    def __init__(self) -> None:
        # Of each minute and kind, the networks whose first failure was an event.
        self._networks: dict[tuple[int, str], set[str]] = {}
        # Of each key, the event that stands for what was counted.
        self._counted: dict[_Key, NewEvent] = {}
        self._keys_of: Counter[tuple[int, str, bool]] = Counter()

    def note(self, event: NewEvent, network: str) -> bool:
        """Tell whether a failure has to be written as an event now; otherwise it is counted."""
        networks = self._networks.setdefault((_minute(event), event.kind), set())
        if network not in networks and len(networks) < MOST_UNKNOWN:
            networks.add(network)
            return True
        key = self._key(event, network, is_room_for_network=network in networks)
        if key.network is None:
            event = replace(event, ip=None, request_id=None)
        self._add(key, event)
        return False

    def take(self, before: float | None = None) -> list[NewEvent]:
        """Return the events of what was counted in minutes over at a time; at the end, of all."""
        minute = None if before is None else int(before // MINUTE)
        for over in [each for each in self._networks if minute is None or each[0] < minute]:
            del self._networks[over]
        keys = [key for key in self._counted if minute is None or key.minute < minute]
        events = [self._counted.pop(key) for key in keys]
        for room in {_room(key) for key in keys}:
            del self._keys_of[room]
        return events

    def put_back(self, events: Sequence[NewEvent]) -> None:
        """Count events again that could not be written, one for each kind and subject."""
        for event in events:
            key = _Key(_minute(event), event.kind, None, _subject(event))
            self._add(self._bounded(key), event)

    def _key(self, event: NewEvent, network: str, *, is_room_for_network: bool) -> _Key:
        key = _Key(_minute(event), event.kind, network, _subject(event))
        if key in self._counted:
            return key
        is_room = is_room_for_network
        if event.user_id is not None:
            is_room = self._keys_of[_room(key)] < MOST_KNOWN
        key = self._bounded(key if is_room else replace(key, network=None))
        self._keys_of[_room(key)] += 1
        return key

    def _bounded(self, key: _Key) -> _Key:
        if key in self._counted or len(self._counted) < 4 * MOST_KNOWN:
            return key
        return replace(key, subject=None)

    def _add(self, key: _Key, event: NewEvent) -> None:
        counted = self._counted.get(key)
        self._counted[key] = event if counted is None else _together(counted, event)


def _together(one: NewEvent, other: NewEvent) -> NewEvent:
    """Return the event of two: what they do not have in common is not told."""
    return replace(
        other,
        times=one.times + other.times,
        ip=other.ip if network_of(other.ip) == network_of(one.ip) else None,
        user_id=other.user_id if other.user_id == one.user_id else None,
        client_id=other.client_id if other.client_id == one.client_id else None,
        email_digest=other.email_digest if other.email_digest == one.email_digest else None,
    )


def _minute(event: NewEvent) -> int:
    return int(event.at.timestamp() // MINUTE)


def _subject(event: NewEvent) -> str | None:
    return event.user_id or event.client_id


def _room(key: _Key) -> tuple[int, str, bool]:
    return key.minute, key.kind, key.subject is None
