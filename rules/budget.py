"""How often something may be done in a minute."""

import math
from collections import OrderedDict
from collections.abc import Callable

_MINUTE = 60.0
# How many are remembered; the one that was counted the longest time ago is forgotten first.
_MOST = 50_000


class Budget:
    """Allows ``per_minute`` uses of a key at a time, and from then on as many a minute.

    ``clock`` returns seconds that only go forward. Each process counts for itself.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._seconds_each = _MINUTE / per_minute
        self._clock = clock
        # When all that was used is earned back (the generic cell rate algorithm, ITU-T I.371).
        self._earned_at: OrderedDict[str, float] = OrderedDict()

    def wait_seconds(self, key: str) -> int:
        """Return how long to wait for the next use: 0 where it may be now."""
        now = self._clock()
        wait = self._earned_at.get(key, now) + self._seconds_each - now - _MINUTE
        # What the additions of floating point leave is no reason to wait.
        return math.ceil(wait) if wait > self._seconds_each / 1_000 else 0

    def spend(self, key: str) -> None:
        """Count a use."""
        now = self._clock()
        self._earned_at[key] = max(self._earned_at.get(key, now), now) + self._seconds_each
        self._earned_at.move_to_end(key)
        if len(self._earned_at) > _MOST:
            self._earned_at.popitem(last=False)
