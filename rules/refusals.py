"""How long a refused password takes, so that the time does not tell whose it is not.

A wrong password of a user with an imported hash, one of our users and an unknown address cost
different work. So every refusal lasts at least as long as the slowest kind of hash that is in use:
what was quicker waits for the rest in its slot. Another service may have stored a password
as it was typed or in its NFC form; where these differ, both are tried, and every refusal of such a
password, of whomever, lasts twice as long.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence

# Refusals are not made to wait for kinds that take longer: those tell by their time that there is a
# user.
LONGEST_SECONDS = 2.0
# How many measurements count.
_USUAL = 33
_OF_A_KIND = 9
# Most hashes take no longer, so that most refusals last exactly as long.
_MOST_USUAL = 0.9
_MOST_OF_A_KIND = 0.75
# The first guess is a rough one, and rather too long: a refusal that is over before others tells.
_CAUTION = 1.25


class RefusalTimes:
    """Measures hashes, and says how much longer a refusal has to last.

    ``usual_seconds`` is a first guess at what a hash of this server takes.
    """

    def __init__(self, usual_seconds: float) -> None:
        self._usual = deque([usual_seconds * _CAUTION], maxlen=_USUAL)
        self._of_kinds: dict[str, deque[float]] = {}

    def note_usual(self, seconds: float) -> None:
        """Note how long a hash as this server makes them took."""
        self._usual.append(seconds)

    def note(self, kind: str, seconds: float) -> None:
        """Note how long a hash of another kind took, for each form of the password.

        Kept as a multiple of the usual time: both change with the load of the machine.
        """
        of_kind = self._of_kinds.setdefault(kind, deque(maxlen=_OF_A_KIND))
        of_kind.append(seconds / _quantile(self._usual, 0.5))

    def keep(self, is_in_use: Callable[[str], bool]) -> None:
        """Forget the kinds that are not in use any more: nobody has to wait for those."""
        self._of_kinds = {kind: each for kind, each in self._of_kinds.items() if is_in_use(kind)}

    def rest(self, spent: float, *, forms: int) -> float:
        """Return how many seconds a refusal has to last, beyond those spent on hashes."""
        usual = _quantile(self._usual, _MOST_USUAL)
        of_kinds = [usual * _quantile(each, _MOST_OF_A_KIND) for each in self._of_kinds.values()]
        slowest = max((each for each in of_kinds if each <= LONGEST_SECONDS), default=0.0)
        return max(0.0, max(usual, slowest) * forms - spent)


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of the values is not above."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
