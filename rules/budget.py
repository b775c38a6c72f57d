"""Rate limits per key."""

import math
from collections import OrderedDict
from collections.abc import Callable

_MINUTE = 60.0
# At most this many keys are kept; the least recently counted one is dropped first.
_MAX_KEYS = 50_000


class Budget:
    """Allows a burst of ``per_minute`` uses of each key, then ``per_minute`` uses per minute.

    ``clock`` returns monotonic seconds. Each process counts separately.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._seconds_each = _MINUTE / per_minute
        self._clock = clock
        # When the budget of a key is full again (the generic cell rate algorithm, ITU-T I.371).
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def wait_seconds(self, key: str) -> int:
        """Return how long to wait for the next use, 0 if it is allowed now."""
        now = self._clock()
        wait = self._full_at.get(key, now) + self._seconds_each - now - _MINUTE
        # The rounding errors of floating point are no reason to wait.
        return math.ceil(wait) if wait > self._seconds_each / 1_000 else 0

    def spend(self, key: str) -> None:
        """Count a use."""
        now = self._clock()
        self._full_at[key] = max(self._full_at.get(key, now), now) + self._seconds_each
        self._full_at.move_to_end(key)
        if len(self._full_at) > _MAX_KEYS:
            self._full_at.popitem(last=False)
