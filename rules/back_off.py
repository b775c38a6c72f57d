"""How long to wait after repeated failures."""

import secrets
from collections.abc import Sequence

# Up to this share of a wait is added at random, so that callers that fail together do
# not retry together.
_MAX_JITTER = 0.25
_PARTS = 1000


def back_off_seconds(steps: Sequence[float], failures: int) -> float:
    """Return the wait after a number of failures: one step for each, then always the last."""
    seconds = steps[min(failures, len(steps)) - 1]
    return seconds * (1 + _MAX_JITTER * secrets.randbelow(_PARTS) / _PARTS)
