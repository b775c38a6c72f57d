"""Callers that were rejected, and when they are due to retry.

A caller that honors ``Retry-After`` (RFC 9110, section 10.2.3) precedes one that does not:
otherwise the caller that sends the most requests would take each slot that becomes free.
"""

import math
from collections import OrderedDict
from collections.abc import Callable

from rules.turns import Caller

# How early a caller may return: clocks and timers are not exact.
_EARLY_SECONDS = 0.2
# How late it may return. A caller that cycles through many addresses returns to each of them much
# later, without having waited at any.
_LATE_SECONDS = 10.0
# At most this many are kept: some 10 MiB, and a minute of the fastest flood that was measured.
MAX_CALLERS = 50_000


class Retries:
    """Remembers rejected callers. ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # When each is due, and when it was first rejected.
        self._due: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many callers are remembered."""
        return len(self._due)

    def add(
        self, caller: Caller, retry_after_seconds: float, first_rejected_at: float | None = None
    ) -> None:
        """Remember a caller that is rejected now, and was first rejected at a time."""
        key = (caller.network, caller.account)
        now = self._clock()
        first = now if first_rejected_at is None else first_rejected_at
        self._due[key] = (now + retry_after_seconds, first)
        self._due.move_to_end(key)
        while len(self._due) > MAX_CALLERS:
            self._due.popitem(last=False)

    def take(self, caller: Caller) -> float | None:
        """Return when a caller was first rejected, if it returns when it is due; else None.

        In both cases the caller is no longer remembered.
        """
        due, first = self._due.pop((caller.network, caller.account), (math.inf, 0.0))
        is_in_time = due - _EARLY_SECONDS <= self._clock() <= due + _LATE_SECONDS
        return first if is_in_time else None
