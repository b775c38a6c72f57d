"""The charts, as SVG: throughput by connections, and latency by percentile."""

import itertools
import math
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.results import Curve, Line, Results, percentile

INCHES = (8.0, 4.6)
BLUE, ORANGE, GRAY = "#1f5fa8", "#c8551b", "#6f6f6f"
GOAL_MILLISECONDS = 50
PERCENTS = (0, 50, 90, 99, 99.9)
STEPS = 400
PEER_CONNECTIONS = 128
SECOND = 1000

# Text is not converted to paths, and equal values produce equal files.
mpl.rc("svg", fonttype="none", hashsalt="bench")
mpl.rc("font", family="sans-serif", size=10)


def draw_throughput(results: Results, path: Path) -> None:
    """Draw requests per second by the number of connections, with the range of the rounds."""
    drawing, axes = _sheet("Requests per second by the number of connections")
    axes.set_xscale("log", base=2)
    for line in results.lines:
        _draw_line(axes, line, BLUE if line.name == "userauth" else GRAY)
    known = {line.name for line in results.lines}
    peers = [each for each in results.contenders if each.name not in known]
    for peer, shape in zip(peers, itertools.cycle("^sD"), strict=False):
        height = peer.rate.median
        axes.plot(PEER_CONNECTIONS, height, shape, color=ORANGE, markersize=6, label=peer.name)
    counts = [count for count, _ in results.lines[0].points]
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(counts[0] * 0.85, counts[-1] * 1.2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("connections; each sends its next request when it has the response")
    axes.set_ylabel("requests per second (bands: all rounds)")
    _finish(drawing, axes, path)


def _draw_line(axes: Axes, line: Line, color: str) -> None:
    counts = [count for count, _ in line.points]
    medians = [values.median for _, values in line.points]
    lowest = [values.lowest for _, values in line.points]
    highest = [values.highest for _, values in line.points]
    axes.fill_between(counts, lowest, highest, color=color, alpha=0.15, linewidth=0)
    axes.plot(counts, medians, "o-", color=color, markersize=4, linewidth=1.8, label=line.name)


def draw_latency(results: Results, path: Path) -> None:
    """Draw latency by percentile."""
    drawing, axes = _sheet("Latency of logins, and of token requests (100/s) beside them")
    for curve in results.curves:
        _draw_curve(axes, curve)
    axes.axhline(GOAL_MILLISECONDS, color=GRAY, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.annotate(
        f"goal for the p99 of token requests: {GOAL_MILLISECONDS} ms",
        (0, GOAL_MILLISECONDS),
        xytext=(4, 3),
        textcoords="offset points",
        color=GRAY,
        fontsize=8.5,
    )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(_milliseconds))
    axes.xaxis.set_major_locator(FixedLocator([_nines(percent) for percent in PERCENTS]))
    axes.xaxis.set_major_formatter(FuncFormatter(_percent))
    axes.set_xlim(0, _nines(PERCENTS[-1]))
    axes.set_xlabel("percentage of the requests that took no longer")
    axes.set_ylabel("latency")
    _finish(drawing, axes, path)


def _draw_curve(axes: Axes, curve: Curve) -> None:
    if not curve.latencies:
        return
    # Beyond this point the curve would show a single request.
    last = _nines(100 * (1 - 1 / len(curve.latencies)))
    positions = [last * step / STEPS for step in range(STEPS + 1)]
    ordered = sorted(curve.latencies)
    heights = [percentile(ordered, 100 * (1 - 10**-position)) for position in positions]
    color, style, width = _look(curve.name)
    axes.plot(positions, heights, color=color, linestyle=style, linewidth=width, label=curve.name)


def _look(name: str) -> tuple[str, str, float]:
    """Return the color, the line style and the width of a curve, by its name."""
    if "no logins" in name:
        return GRAY, "-", 1.4
    return (ORANGE if "logins of" in name else BLUE), ("--" if "200" in name else "-"), 1.8


def _nines(percent: float) -> float:
    """Return the number of nines of a percentage: 90 has one, 99 has two."""
    return -math.log10(1 - percent / 100)


def _percent(nines: float, _position: int | None) -> str:
    return f"{100 * (1 - 10**-nines):.4g} %"


def _milliseconds(value: float, _position: int | None) -> str:
    return f"{value / SECOND:g} s" if value >= SECOND else f"{value:g} ms"


def _sheet(title: str) -> tuple[Drawing, Axes]:
    drawing = Drawing(figsize=INCHES, facecolor="white")
    axes = drawing.subplots()
    axes.set_title(title, loc="left", fontsize=12, pad=12)
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return drawing, axes


def _finish(drawing: Drawing, axes: Axes, path: Path) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2, frameon=False)
    drawing.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
