"""The report of a run, in Markdown."""

from collections.abc import Iterable, Sequence
from statistics import median

from bench.machine import Machine
from bench.results import Contender, Figure, Line, Results, Series, ratios
from bench.run import Run, Schedule

BASELINES = (
    (
        "`bare`",
        "Tornado + uvloop, one stock handler that writes the same JSON, no authentication, no log",
    ),
    ("`bare template`", "Tornado + uvloop, one stock handler that renders a page of the same size"),
    ("`raw`", "httptools + uvloop, a fixed response: no Python server on them can do more"),
    ("`bcrypt`", "`bcrypt.checkpw` at the same cost on as many threads as the server has workers"),
    ("`select`", "`pgbench` with the same lookup, prepared, 16 clients"),
)
_SMALL, _LARGE = 10, 1000


def render(machine: Machine, run: Run, results: Results) -> str:
    """Return the report."""
    sections = [
        "# Measurements",
        _introduction(run.schedule),
        _table(("machine", ""), _machine_rows(machine)),
        "## Baselines",
        _table(("baseline", "what"), BASELINES),
    ]
    if run.faults:
        sections += [
            "## Unexpected responses",
            "The run has failed: these should have been 200, or for a login 503 with Retry-After.",
            "\n".join(f"- {fault}" for fault in run.faults),
        ]
    if results.figures:
        sections += ["## Figures", _figures(results.figures)]
    if results.lines:
        sections += ["## Throughput by connections", _lines(results.lines)]
        sections += ["![Requests per second by the number of connections](throughput.svg)"]
    if results.curves:
        sections += ["## Latency of logins, and of token requests beside them"]
        sections += ["![Latency by percentile](latency.svg)"]
    if results.contenders:
        sections += ["## Peers", _PEERS, _contenders(results.contenders)]
    sections += ["## Notes", _notes(results, run.noise)]
    return "\n\n".join(sections) + "\n"


_PEERS = (
    "Each in one process on the same machine and the same Postgres, with its own database of"
    " 100,000 users and tokens, loaded by the same scripts in the same rounds. The peers write no"
    " access log; `userauth` does. If a server cannot keep up with 100 token requests per second"
    " while it hashes, its queue and its p99 grow for as long as the measurement lasts."
)


def _introduction(schedule: Schedule) -> str:
    return (
        f"The {schedule.name} pass of `python -m bench`: {schedule.rounds} interleaved rounds. In"
        f" each, a load takes {schedule.slices} times {schedule.slice} s, in turn with its"
        f" baseline; logins take {schedule.hashing} s, token requests beside logins"
        f" {schedule.paced} s. A value is the median of the rounds, followed by the lowest and the"
        " highest. A ratio is computed within each round, to a baseline measured in that round. A"
        " goal applies to the median; for the slowest logins and rejections, and the share of the"
        " busier process, it applies to the worst round. The server is one process, unless a figure"
        " names another number, with a database of 100,000 users and tokens, bcrypt cost 12;"
        " client, server and Postgres share the cores."
    )


def _machine_rows(machine: Machine) -> Iterable[Sequence[str]]:
    yield "processor", f"{machine.processor}, {machine.cores} cores"
    yield "memory", f"{machine.memory_gib:.0f} GiB"
    yield "kernel", machine.kernel
    yield "busy before the run", f"{machine.busy_percent:.0f} %"
    yield "versions", ", ".join(f"{name} {number}" for name, number in machine.versions)


def _figures(figures: Sequence[Figure]) -> str:
    head = ("figure", "value", "baseline", "ratio", "goal", "")
    return _table(head, [_figure_row(figure) for figure in figures])


def _figure_row(figure: Figure) -> Sequence[str]:
    goal, baseline, ratio = figure.goal, figure.baseline, figure.ratio
    return (
        figure.name,
        f"{_spread(figure.values)} {figure.unit}",
        f"{_number(baseline.values.median)} ({baseline.name})" if baseline else "",
        _spread(ratio) if ratio else "",
        f"{goal.comparison} {goal.bound:g} {goal.unit}" if goal else "",
        verdict(figure),
    )


def verdict(figure: Figure) -> str:
    """Return whether a figure meets its goal, and otherwise by how much it misses it."""
    if figure.goal is None:
        return ""
    if figure.shortfall <= 0:
        return "met"
    unit = "" if figure.ratio else f" {figure.goal.unit}"
    return f"missed by {_number(figure.shortfall)}{unit}"


def _lines(lines: Sequence[Line]) -> str:
    head = ("connections", *(f"{line.name}, requests/s" for line in lines), "ratio to bare")
    rows = []
    for points in zip(*(line.points for line in lines), strict=True):
        ratio = _spread(ratios(points[-1][1], points[-2][1]))
        rows.append((f"{points[0][0]:,}", *(_spread(values) for _, values in points), ratio))
    return _table(head, rows)


def _contenders(contenders: Sequence[Contender]) -> str:
    head = (
        "server",
        "requests/s, 128 connections",
        "of bare",
        "p99, 128 connections",
        "p99 of token requests while 32 clients log in",
    )
    baseline = contenders[0].rate
    rows = [
        (
            each.name,
            _spread(each.rate),
            _number(ratios(each.rate, baseline).median),
            f"{_spread(each.p99)} ms",
            f"{_spread(each.p99_during_logins)} ms" if each.p99_during_logins else "–",
        )
        for each in contenders
    ]
    return _table(head, rows)


def _notes(results: Results, noise: Sequence[float]) -> str:
    notes = [*results.notes, _variation(results)]
    if noise:
        notes.append(
            "Other processes and the hypervisor used"
            f" {median(noise):.0%} of the cores at the median of all measurements, and"
            f" {max(noise):.0%} at most."
        )
    return "\n".join(f"- {note}" for note in notes)


def _variation(results: Results) -> str:
    widths = [
        (values.highest - values.lowest) / values.median
        for figure in results.figures
        if len((values := figure.ratio or figure.values).values) > 1 and values.median
    ]
    if not widths:
        return "Variation: no figure has more than one round."
    return (
        "Variation: from the lowest to the highest round, the figures (or their ratios) differ by"
        f" {min(widths):.0%} to {max(widths):.0%} of their median."
    )


def _spread(values: Series) -> str:
    if len(values.values) == 1:
        return _number(values.median)
    return f"{_number(values.median)} ({_number(values.lowest)}–{_number(values.highest)})"


def _number(value: float) -> str:
    """Return a number with about three significant digits."""
    if abs(value) >= _LARGE:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= _SMALL else f"{value:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
