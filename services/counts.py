"""Counts of events and revoked tokens that this process committed, for its metrics."""

from dataclasses import dataclass, field

from services.event_kinds import EventKind, Revocation


def _zeros(kinds: type[EventKind | Revocation]) -> dict[str, int]:
    return {kind.value: 0 for kind in kinds}


@dataclass(frozen=True, slots=True)
class CommittedCounts:
    """The number of events of each kind, and of valid tokens revoked for each reason.

    Failures count when they happen; their events may be written later.
    """

    events: dict[str, int] = field(default_factory=lambda: _zeros(EventKind))
    revoked: dict[str, int] = field(default_factory=lambda: _zeros(Revocation))

    @property
    def issued(self) -> int:
        """Return how many tokens were issued."""
        return self.events[EventKind.LOGGED_IN]
