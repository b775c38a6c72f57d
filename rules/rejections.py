"""How long the rejection of a password takes, so that its time reveals nothing about the account.

A wrong password of a user with an imported hash, of another user, and of an unknown address cost
different amounts of work. So every rejection takes at least as long as the slowest kind of hash in
use: after a faster hash the caller waits for the difference, in its slot. Another service may have
stored a password as it was typed or in its NFC form; if these differ, both are tried, and every
rejection of such a password takes twice as long, whether or not the user exists.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence

# Rejections do not wait for kinds that take longer: the time of these reveals that the user exists.
MAX_SECONDS = 2.0
# How many measurements are kept, of our own hashes and of each other kind.
_USUAL_MEASUREMENTS = 33
_KIND_MEASUREMENTS = 9
# A rejection takes as long as this quantile of the hashes, so that most take exactly as long.
_USUAL_SHARE = 0.9
_KIND_SHARE = 0.75
# The initial estimate is rough, and should be too high rather than too low: a rejection that is
# faster than others reveals something, one that is slower does not.
_CAUTION = 1.25


class RejectionTimes:
    """Measures hashes, and returns how much longer a rejection has to take.

    ``usual_seconds`` is an initial estimate of the time of a hash that this server makes.
    """

    def __init__(self, usual_seconds: float) -> None:
        self._usual = deque([usual_seconds * _CAUTION], maxlen=_USUAL_MEASUREMENTS)
        self._by_kind: dict[str, deque[float]] = {}

    def note_usual(self, seconds: float) -> None:
        """Record how long a hash as this server makes them took."""
        self._usual.append(seconds)

    def note(self, kind: str, seconds: float) -> None:
        """Record how long a hash of another kind took, for each form of the password.

        Stored as a multiple of the usual time: both change with the load of the machine.
        """
        multiples = self._by_kind.setdefault(kind, deque(maxlen=_KIND_MEASUREMENTS))
        multiples.append(seconds / _quantile(self._usual, 0.5))

    def retain(self, is_in_use: Callable[[str], bool]) -> None:
        """Discard the kinds that are no longer in use."""
        self._by_kind = {kind: each for kind, each in self._by_kind.items() if is_in_use(kind)}

    def delay_seconds(self, elapsed: float, *, forms: int) -> float:
        """Return by how many seconds to delay a rejection whose hashes took ``elapsed``."""
        usual = _quantile(self._usual, _USUAL_SHARE)
        kinds = [usual * _quantile(each, _KIND_SHARE) for each in self._by_kind.values()]
        slowest = max((each for each in kinds if each <= MAX_SECONDS), default=0.0)
        return max(0.0, max(usual, slowest) * forms - elapsed)


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least a share of the values does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
