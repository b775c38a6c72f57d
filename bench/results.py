"""The results of a run: figures, their goals, and the data of the charts."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Series:
    """One value per round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def lowest(self) -> float:
        return min(self.values)

    @property
    def highest(self) -> float:
        return max(self.values)


def series(values: Sequence[float]) -> Series:
    """Return a series of values in the order of the rounds."""
    return Series(tuple(values))


def ratios(values: Series, baselines: Series) -> Series:
    """Return the ratio of value to baseline in each round."""
    pairs = zip(values.values, baselines.values, strict=True)
    return series([value / baseline if baseline else 0.0 for value, baseline in pairs])


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the lowest value that at least this percentage of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


class Comparison(StrEnum):
    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True)
class Goal:
    """The limit that a figure should meet.

    It applies to the median of the rounds, or to every round if it is a guarantee for each client.
    """

    comparison: Comparison
    bound: float
    unit: str
    every_round: bool = False

    def shortfall(self, values: Series) -> float:
        """Return by how much the goal is missed; 0 or less if it is met."""
        if self.comparison is Comparison.AT_LEAST:
            return self.bound - (values.lowest if self.every_round else values.median)
        return (values.highest if self.every_round else values.median) - self.bound


@dataclass(frozen=True)
class Baseline:
    """The values that a figure is compared with, measured in the same rounds."""

    name: str
    values: Series


@dataclass(frozen=True)
class Figure:
    """A measured value; with a baseline, the goal applies to the ratio."""

    name: str
    values: Series
    unit: str
    baseline: Baseline | None = None
    goal: Goal | None = None

    @property
    def ratio(self) -> Series | None:
        return ratios(self.values, self.baseline.values) if self.baseline else None

    @property
    def shortfall(self) -> float:
        """Return by how much the goal is missed; 0 or less if it is met or there is none."""
        return self.goal.shortfall(self.ratio or self.values) if self.goal else 0.0


@dataclass(frozen=True)
class Line:
    """Requests per second of one server by the number of connections."""

    name: str
    points: tuple[tuple[int, Series], ...]


@dataclass(frozen=True)
class Curve:
    """The latencies of one kind of request, in milliseconds."""

    name: str
    latencies: tuple[float, ...]


@dataclass(frozen=True)
class Contender:
    """A server in the comparison with peers; latencies are in milliseconds."""

    name: str
    rate: Series
    p99: Series
    # The p99 of token requests while 32 clients log in; the baseline has no login.
    p99_during_logins: Series | None = None


@dataclass(frozen=True)
class Results:
    """The results of one or more groups of measurements."""

    figures: tuple[Figure, ...] = ()
    lines: tuple[Line, ...] = ()
    curves: tuple[Curve, ...] = ()
    contenders: tuple[Contender, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: "Results") -> "Results":
        return Results(
            self.figures + other.figures,
            self.lines + other.lines,
            self.curves + other.curves,
            self.contenders + other.contenders,
            self.notes + other.notes,
        )
