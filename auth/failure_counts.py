"""Failures that anybody can cause, counted, so that nobody fills the audit trail with them.

Of each kind the first one from a network in a minute is an event at once. Those that follow it are
counted here, and become one event when the minute is over: of a known user or client by
themselves, of all others together. A minute has room for a bounded number of networks and of
users; what has none is counted in one event for each kind, which names no address.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from auth.origin import network_of
from db.rows import NewEvent

MINUTE = 60
# Of a kind, in a minute: networks from which nobody known is tried, and known users and clients.
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
        # Of each key, the event that stands for what was counted; none yet after the first one.
        self._counted: dict[_Key, NewEvent | None] = {}
        self._keys_of: Counter[tuple[int, str, bool]] = Counter()

    def note(self, event: NewEvent, network: str) -> bool:
        """Tell whether a failure has to be written as an event now; otherwise it is counted."""
        key = self._key(event, network)
        if key not in self._counted and key.network is not None:
            self._counted[key] = None
            self._keys_of[_room(key)] += 1
            return True
        if key.network is None:
            event = replace(event, ip=None, request_id=None)
        self._add(key, event)
        return False

    def take(self, before: float | None = None) -> list[NewEvent]:
        """Return the events of what was counted in minutes over at a time; at the end, of all."""
        minute = None if before is None else int(before // MINUTE)
        keys = [key for key in self._counted if minute is None or key.minute < minute]
        events = [event for key in keys if (event := self._counted.pop(key)) is not None]
        for room in {_room(key) for key in keys}:
            del self._keys_of[room]
        return events

    def put_back(self, events: Sequence[NewEvent]) -> None:
        """Count events again that could not be written, one for each kind and subject."""
        for event in events:
            key = _Key(_minute(event), event.kind, None, _subject(event))
            self._add(self._bounded(key), event)

    def _key(self, event: NewEvent, network: str) -> _Key:
        key = _Key(_minute(event), event.kind, network, _subject(event))
        if key in self._counted:
            return key
        most = MOST_UNKNOWN if event.user_id is None else MOST_KNOWN
        if self._keys_of[_room(key)] < most:
            return key
        return self._bounded(replace(key, network=None))

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
