"""Counts of failed attempts: a caller can make any number, which must not fill the audit trail.

Of each kind, the first failure from a network in a minute is written as an event at once, whether
or not the user exists: otherwise the statement would reveal it. Those that follow are counted here,
and become one event at the end of the minute: one for each known user or client, and one for all
others. The number of networks and users in a minute is bounded; further failures are counted in one
event for each kind, without an IP address.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from db.rows import NewEvent
from rules.origin import network_of

MINUTE = 60
# For each kind, per minute: networks, and known users or clients.
MAX_NETWORKS = 30
MAX_KNOWN = 1_000


@dataclass(frozen=True, slots=True)
class _Key:
    """The key of a count; ``network`` is None for failures beyond the bounds."""

    minute: int
    kind: str
    network: str | None
    subject: str | None


class FailureCounts:
    """Decides which failures are events, and counts the others until they are taken."""

    def __init__(self) -> None:
        # The networks whose first failure was an event, by minute and kind.
        self._networks: dict[tuple[int, str], set[str]] = {}
        # The event that represents the counted failures, by key.
        self._counted: dict[_Key, NewEvent] = {}
        self._key_counts: Counter[tuple[int, str, bool]] = Counter()

    def note(self, event: NewEvent, network: str) -> bool:
        """Return whether a failure has to be written as an event now; otherwise it is counted."""
        networks = self._networks.setdefault((_minute(event), event.kind), set())
        if network not in networks and len(networks) < MAX_NETWORKS:
            networks.add(network)
            return True
        key = self._key(event, network, is_network_counted=network in networks)
        if key.network is None:
            event = replace(event, ip=None, request_id=None)
        self._add(key, event)
        return False

    def take(self, before: float | None = None) -> list[NewEvent]:
        """Remove and return the events of all minutes, or of those that ended before a time."""
        minute = None if before is None else int(before // MINUTE)
        for past in [each for each in self._networks if minute is None or each[0] < minute]:
            del self._networks[past]
        keys = [key for key in self._counted if minute is None or key.minute < minute]
        events = [self._counted.pop(key) for key in keys]
        for bound in {_bound(key) for key in keys}:
            del self._key_counts[bound]
        return events

    def put_back(self, events: Sequence[NewEvent]) -> None:
        """Count events that could not be written again, one for each kind and subject."""
        for event in events:
            key = _Key(_minute(event), event.kind, None, _subject(event))
            self._add(self._bounded(key), event)

    def _key(self, event: NewEvent, network: str, *, is_network_counted: bool) -> _Key:
        key = _Key(_minute(event), event.kind, network, _subject(event))
        if key in self._counted:
            return key
        has_room = is_network_counted
        if event.user_id is not None:
            has_room = self._key_counts[_bound(key)] < MAX_KNOWN
        key = self._bounded(key if has_room else replace(key, network=None))
        self._key_counts[_bound(key)] += 1
        return key

    def _bounded(self, key: _Key) -> _Key:
        if key in self._counted or len(self._counted) < 4 * MAX_KNOWN:
            return key
        return replace(key, subject=None)

    def _add(self, key: _Key, event: NewEvent) -> None:
        counted = self._counted.get(key)
        self._counted[key] = event if counted is None else _merged(counted, event)


def _merged(one: NewEvent, other: NewEvent) -> NewEvent:
    """Merge two events, and leave out what they do not have in common."""
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


def _bound(key: _Key) -> tuple[int, str, bool]:
    return key.minute, key.kind, key.subject is None
