"""When each account last had its turn; the longer ago, the stronger its claim to a place.

When the queue is full, the account in a network whose last turn is longest ago is admitted.
Otherwise each attempt would have the same chance, and the caller that sends the most would take
nearly every slot. A rejected caller keeps its claim, however early it returns. A caller that honors
``Retry-After`` (RFC 9110, section 10.2.3) precedes one that does not.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from rules.turns import Caller

# An account that had no turn for this long, or never, has the claim of one whose turn was this long
# ago. An invented account therefore gains nothing over a user who seldom logs in.
NEW_SECONDS = 60.0
# A claim that is kept grows no further: otherwise a caller that disconnects again and again would
# get an ever stronger one, and others an ever later turn.
MAX_SECONDS = 2 * NEW_SECONDS
# How early a caller may return: clocks and timers are not exact.
_EARLY_SECONDS = 0.2
# How late it may return. A caller that cycles through many IP addresses returns to each of them
# much later, without having waited at any.
_LATE_SECONDS = 10.0
# At most this many are kept: 20 to 30 MiB, and a minute of the fastest flood that was measured.
MAX_CALLERS = 50_000


@dataclass(frozen=True, slots=True)
class Claim:
    """Since when an account has waited for its turn; the earliest has the strongest claim.

    ``is_due`` is whether the account was rejected before, and honored Retry-After.
    """

    since: float
    is_due: bool = False


class Claims:
    """Remembers when accounts at networks had their turn. ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Since when each has waited, and when it is due to return.
        self._kept: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many accounts are remembered."""
        return len(self._kept)

    def take(self, caller: Caller) -> Claim:
        """Return the claim of a caller, which has its turn now unless it keeps the claim."""
        now = self._clock()
        new_since = now - NEW_SECONDS
        since, due = self._kept.get(caller.pair, (new_since, -math.inf))
        self._remember(caller, since=now, due=-math.inf)
        if now > due + _LATE_SECONDS:
            return Claim(max(since, new_since))
        return Claim(max(since, now - MAX_SECONDS), is_due=now >= due - _EARLY_SECONDS)

    def keep(self, caller: Caller, claim: Claim, retry_after_seconds: float) -> None:
        """Keep the claim of a caller that did not get its turn.

        Of several attempts by one account, the strongest claim is kept.
        """
        kept, _ = self._kept.get(caller.pair, (math.inf, 0.0))
        self._remember(caller, min(kept, claim.since), self._clock() + retry_after_seconds)

    def _remember(self, caller: Caller, since: float, due: float) -> None:
        self._kept[caller.pair] = (since, due)
        self._kept.move_to_end(caller.pair)
        if len(self._kept) > MAX_CALLERS:
            self._kept.popitem(last=False)
