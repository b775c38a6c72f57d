"""The report: what was found, in Markdown."""

from collections.abc import Iterable, Sequence
from statistics import median

from bench.findings import Contender, Figure, Findings, Line, Series, ratios
from bench.machine import Machine
from bench.session import Pace, Session

LIMITS = (
    ("`bare`", "Tornado + uvloop, one stock handler writing the same JSON: no check, no log"),
    ("`bcrypt`", "`bcrypt.checkpw` at the same cost on as many threads as the server has workers"),
    ("`select`", "`pgbench` with the same look-up, prepared, 16 clients"),
)
_SMALL, _LARGE = 10, 1000


def render(machine: Machine, session: Session, findings: Findings) -> str:
    """Return the whole report."""
    pace, faults = session.pace, session.faults
    sections = [
        "# Measurements",
        _introduction(pace),
        _table(("machine", ""), _machine_rows(machine)),
        "## Limits",
        _table(("limit", "what"), LIMITS),
    ]
    if faults:
        sections += [
            "## Unexpected answers",
            "The run has failed: these should have been 200, or for a log-in 503 with Retry-After.",
            "\n".join(f"- {fault}" for fault in faults),
        ]
    if findings.figures:
        sections += ["## Figures", _figures(findings.figures)]
    if findings.lines:
        sections += ["## Throughput by connections", _lines(findings.lines)]
        sections += ["![Requests a second by the number of connections](throughput.svg)"]
    if findings.curves:
        sections += ["## Latency of log-ins, and of token requests beside them"]
        sections += ["![Latency by percentile](latency.svg)"]
    if findings.contenders:
        sections += ["## Peers", _PEERS, _contenders(findings.contenders)]
    sections += ["## Notes", _notes(findings, session.others)]
    return "\n\n".join(sections) + "\n"


_PEERS = (
    "Each in one process on the same machine and the same Postgres, with its own database of"
    " 100,000 users and tokens, loaded by the same scripts in the same rounds. No access log;"
    " `userauth` writes its own. A server that cannot keep up with 100 token requests a second"
    " while it hashes has a queue that grows for as long as it is measured, and its p99 with it."
)


def _introduction(pace: Pace) -> str:
    return (
        f"The {pace.name} pass of `python -m bench`: {pace.rounds} interleaved rounds. In each, a"
        f" load takes {pace.slices} times {pace.slice} s, in turn with what it is compared with;"
        f" log-ins take {pace.hashing} s, token requests beside log-ins {pace.paced} s."
        " A value is the median of the rounds, with the lowest and the highest behind it. A"
        " ratio is taken within each round, to a limit measured in that round. The server is one"
        " process with a database of 100,000 users and tokens, bcrypt cost 12; client, server"
        " and Postgres share the cores."
    )


def _machine_rows(machine: Machine) -> Iterable[Sequence[str]]:
    yield "processor", f"{machine.processor}, {machine.cores} cores"
    yield "memory", f"{machine.memory_gib:.0f} GiB"
    yield "kernel", machine.kernel
    yield "busy before the run", f"{machine.busy_percent:.0f} %"
    yield "versions", ", ".join(f"{name} {number}" for name, number in machine.versions)


def _figures(figures: Sequence[Figure]) -> str:
    head = ("figure", "value", "limit", "ratio", "mark", "")
    return _table(head, [_figure_row(figure) for figure in figures])


def _figure_row(figure: Figure) -> Sequence[str]:
    mark, limit, ratio = figure.mark, figure.limit, figure.ratio
    return (
        figure.name,
        f"{_spread(figure.values)} {figure.unit}",
        f"{_number(limit.values.median)} ({limit.name})" if limit else "",
        _spread(ratio) if ratio else "",
        f"{mark.sense} {mark.bound:g} {mark.unit}" if mark else "",
        verdict(figure),
    )


def verdict(figure: Figure) -> str:
    """Return whether a figure reaches its mark, and how far it is from it."""
    if figure.mark is None:
        return ""
    if figure.shortfall <= 0:
        return "met"
    unit = "" if figure.ratio else f" {figure.mark.unit}"
    return f"missed by {_number(figure.shortfall)}{unit}"


def _lines(lines: Sequence[Line]) -> str:
    head = ("connections", *(f"{line.name}, requests/s" for line in lines), "ratio")
    rows = []
    for points in zip(*(line.points for line in lines), strict=True):
        ratio = _spread(ratios(points[-1][1], points[0][1]))
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
    limit = contenders[0].rate
    rows = [
        (
            each.name,
            _spread(each.rate),
            _number(ratios(each.rate, limit).median),
            f"{_spread(each.p99)} ms",
            f"{_spread(each.p99_beside)} ms" if each.p99_beside else "–",
        )
        for each in contenders
    ]
    return _table(head, rows)


def _notes(findings: Findings, others: Sequence[float]) -> str:
    notes = [*findings.notes, _noise(findings)]
    if others:
        notes.append(
            "Others, among them the hypervisor, used"
            f" {median(others):.0%} of the cores at the median of all measurements, and"
            f" {max(others):.0%} at the worst."
        )
    return "\n".join(f"- {note}" for note in notes)


def _noise(findings: Findings) -> str:
    widths = [
        (found.highest - found.lowest) / found.median
        for figure in findings.figures
        if len((found := figure.ratio or figure.values).values) > 1 and found.median
    ]
    if not widths:
        return "Noise: no figure has more than one round here."
    return (
        "Noise: from the lowest to the highest round, the figures (the ratio, where there is one)"
        f" differ by {min(widths):.0%} to {max(widths):.0%} of their median."
    )


def _spread(values: Series) -> str:
    if len(values.values) == 1:
        return _number(values.median)
    return f"{_number(values.median)} ({_number(values.lowest)}–{_number(values.highest)})"


def _number(value: float) -> str:
    """Return a number with about three digits that count."""
    if abs(value) >= _LARGE:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= _SMALL else f"{value:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
