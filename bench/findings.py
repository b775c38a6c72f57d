"""What was found: figures, their marks, and what the charts show."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Series:
    """One value a round."""

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
    """Return a series of the values, in the order of the rounds."""
    return Series(tuple(values))


def ratios(values: Series, limits: Series) -> Series:
    """Return value by limit, round by round."""
    pairs = zip(values.values, limits.values, strict=True)
    return series([value / limit if limit else 0.0 for value, limit in pairs])


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


class Sense(StrEnum):
    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True)
class Mark:
    """What a figure should reach.

    It is held against the median of the rounds, or against the worst of them where the mark is
    a promise made to each client.
    """

    sense: Sense
    bound: float
    unit: str
    every_round: bool = False

    def shortfall(self, found: Series) -> float:
        """Return by how much the mark is missed; 0 or less where it is met."""
        if self.sense is Sense.AT_LEAST:
            return self.bound - (found.lowest if self.every_round else found.median)
        return (found.highest if self.every_round else found.median) - self.bound


@dataclass(frozen=True)
class Limit:
    """What a figure is held against, measured in the same rounds."""

    name: str
    values: Series


@dataclass(frozen=True)
class Figure:
    """One measured value of the server; the mark is about the ratio where there is a limit."""

    name: str
    values: Series
    unit: str
    limit: Limit | None = None
    mark: Mark | None = None

    @property
    def ratio(self) -> Series | None:
        return ratios(self.values, self.limit.values) if self.limit else None

    @property
    def shortfall(self) -> float:
        """Return by how much the mark is missed; 0 or less where it is met or there is none."""
        return self.mark.shortfall(self.ratio or self.values) if self.mark else 0.0


@dataclass(frozen=True)
class Line:
    """Requests a second of one server, by the number of connections."""

    name: str
    points: tuple[tuple[int, Series], ...]


@dataclass(frozen=True)
class Curve:
    """All latencies of one kind of request, in milliseconds."""

    name: str
    latencies: tuple[float, ...]


@dataclass(frozen=True)
class Contender:
    """One server in the comparison with peers; latencies are in milliseconds."""

    name: str
    rate: Series
    p99: Series
    # Of token requests while 32 clients log in; the limit has no log-in.
    p99_beside: Series | None = None


@dataclass(frozen=True)
class Findings:
    """What one group of measurements found, or several."""

    figures: tuple[Figure, ...] = ()
    lines: tuple[Line, ...] = ()
    curves: tuple[Curve, ...] = ()
    contenders: tuple[Contender, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: "Findings") -> "Findings":
        return Findings(
            self.figures + other.figures,
            self.lines + other.lines,
            self.curves + other.curves,
            self.contenders + other.contenders,
            self.notes + other.notes,
        )
