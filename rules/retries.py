"""Callers that were refused, and when they were told to come back.

A caller that keeps to ``Retry-After`` (RFC 9110, section 10.2.3) gets ahead of one that does not:
else whoever sends the most requests takes each slot that becomes free.
"""

import math
from collections import OrderedDict
from collections.abc import Callable

from rules.turns import Caller

# How much sooner than told a caller may come: clocks and timers are not exact.
_EARLY_SECONDS = 0.2
# How much later than told it may come. Whoever goes through many addresses comes to each of them
# again much later, without having waited for any.
_LATE_SECONDS = 10.0
# How many are remembered: some 10 MiB, and a minute of the fastest flood that was measured.
MOST = 50_000


class Retries:
    """Remembers callers that were refused. ``clock`` returns seconds that only go forward."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # When each is due, and when it was refused first.
        self._due: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._due)

    def add(self, caller: Caller, retry_after_seconds: float, since: float | None = None) -> None:
        """Remember a caller that was refused now, and the first time at ``since``."""
        key = (caller.network, caller.account)
        now = self._clock()
        self._due[key] = (now + retry_after_seconds, now if since is None else since)
        self._due.move_to_end(key)
        while len(self._due) > MOST:
            self._due.popitem(last=False)

    def take(self, caller: Caller) -> float | None:
        """Return since when a caller has been refused that comes back when it was told to.

        It is forgotten after that. None for any other.
        """
        due, since = self._due.pop((caller.network, caller.account), (math.inf, 0.0))
        is_in_time = due - _EARLY_SECONDS <= self._clock() <= due + _LATE_SECONDS
        return since if is_in_time else None
