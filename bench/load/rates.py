"""How fast things end, from the times at which they ended."""

import statistics
from collections.abc import Sequence

FEWEST = 3


def completion_rate(times: Sequence[float]) -> float:
    """Return how many ended a second.

    The slope of the count over the times: what was half done at either edge of the window does
    not count, as it would in a plain quotient. At five hashes a second that is several percent.
    """
    if len(times) < FEWEST:
        return 0.0
    return statistics.linear_regression(sorted(times), range(len(times))).slope
