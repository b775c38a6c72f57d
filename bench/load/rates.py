"""Rates computed from times of completion."""

import statistics
from collections.abc import Sequence

MIN_TIMES = 3


def completion_rate(times: Sequence[float]) -> float:
    """Return the completions per second: the slope of their count over time.

    A plain quotient would include the work that was unfinished at either end of the window; at five
    hashes per second, that is several percent.
    """
    if len(times) < MIN_TIMES:
        return 0.0
    return statistics.linear_regression(sorted(times), range(len(times))).slope
