"""Counts by range of value, as cheap to add to as can be."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Self


class Histogram:
    """Counts values by the lowest of some bounds that they do not exceed, and sums them up.

    It belongs to the event loop and has no lock: prometheus-client's own would take as long as
    a tenth of an answer.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value; a negative one, which a clock that was set can give, as 0."""
        if value < 0:
            value = 0.0
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """Return how many values there were."""
        return sum(self.counts)

    @classmethod
    def together(cls, several: Sequence[Self]) -> Self:
        """Return what some of the same bounds counted, at least one, as one."""
        summed = cls(several[0].bounds)
        columns = zip(*[histogram.counts for histogram in several], strict=True)
        summed.counts = [sum(column) for column in columns]
        summed.sum = sum(histogram.sum for histogram in several)
        return summed

    def buckets(self) -> list[tuple[str, float]]:
        """Return how many values were at most as large as each bound, and all of them."""
        total = 0
        found = []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            found.append(("+Inf" if bound == float("inf") else repr(float(bound)), float(total)))
        return found
