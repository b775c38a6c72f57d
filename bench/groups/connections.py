"""Throughput, latency and CPU time by the number of connections.

They are compared with bare Tornado, with the raw parser and event loop, and with Postgres.

Throughput is also measured with and without `Connection: keep-alive`, which most client libraries
send.
"""

from collections import defaultdict
from pathlib import Path

from bench.dataset import signed_tokens
from bench.load.pgbench import measure_selects
from bench.load.wrk import Load, Workload
from bench.order import in_turn
from bench.results import Baseline, Comparison, Figure, Goal, Line, Results, Series, series
from bench.run import SMALL, Run, check_user
from bench.targets import Target, bare, bearers, raw, userauth

CONNECTIONS = (1, 8, 32, 128, 512, 1000)
TYPICAL, MANY = 128, 1000
# Opening 1,000 connections takes part of a second, which should not affect the result.
MANY_FACTOR = 3
KEEP_ALIVE_RATIO = 0.97
MAX_CPU_MICROSECONDS = 65
Loads = dict[tuple[str, int], list[Load]]


def measure(run: Run) -> Results:
    """Load the server and the baselines with an increasing number of connections."""
    loads: Loads = defaultdict(list)
    selects: list[float] = []
    plain: list[Load] = []
    keep_alive: list[Load] = []
    tokens = run.token_list()
    with raw() as limit, bare() as baseline, userauth(run.small_database()) as server:
        check_user(server, bearers(signed_tokens([7]))[0], 7)
        targets = (limit, baseline, server)
        run.warm_up(*targets, authorizations=tokens)
        for number in run.rounds("connections"):
            selects.append(_select(run))
            workloads = [Workload(target, tokens) for target in targets]
            measure_round(run, loads, workloads, number)
            without, with_header = _compare_keep_alive(run, server, tokens, number)
            plain.append(without)
            keep_alive.append(with_header)
    lines = tuple(
        Line(name, tuple((count, _rates(loads, name, count)) for count in CONNECTIONS))
        for name in (target.name for target in targets)
    )
    figures = (*_figures(loads, series(selects)), _keep_alive_figure(plain, keep_alive))
    return Results(figures=figures, lines=lines)


def measure_round(run: Run, loads: Loads, workloads: list[Workload], number: int) -> None:
    """Load all targets with each number of connections."""
    for connections in in_turn(CONNECTIONS, number):
        seconds = run.schedule.slice * (MANY_FACTOR if connections == MANY else 1)
        measured = run.compare(workloads, connections, number, seconds)
        for workload, load in zip(workloads, measured, strict=True):
            loads[workload.target.name, connections].append(load)


def _compare_keep_alive(run: Run, server: Target, tokens: Path, number: int) -> list[Load]:
    workloads = [Workload(server, tokens), Workload(server, tokens, keep_alive=True)]
    return run.compare(workloads, TYPICAL, number)


def _keep_alive_figure(plain: list[Load], keep_alive: list[Load]) -> Figure:
    return Figure(
        f"throughput, {TYPICAL} connections, with Connection: keep-alive",
        series([load.rate for load in keep_alive]),
        "requests/s",
        Baseline("itself without the header", series([load.rate for load in plain])),
        Goal(Comparison.AT_LEAST, KEEP_ALIVE_RATIO, "× without"),
    )


def _select(run: Run) -> float:
    rate = measure_selects(run.cluster, SMALL, run.schedule.slices * run.schedule.slice)
    run.report(f"  pgbench: {rate:,.0f} lookups/s")
    return rate


def _figures(loads: Loads, selects: Series) -> tuple[Figure, ...]:
    bare_p99 = series([load.p99 for load in loads["bare", TYPICAL]])
    own_p99 = series([load.p99 for load in loads["userauth", TYPICAL]])
    return (
        _throughput(loads, TYPICAL, "throughput, 128 connections", 2.0),
        *_cpu_times(loads),
        Figure(
            "p99, 128 connections",
            own_p99,
            "ms",
            Baseline("bare", bare_p99),
            Goal(Comparison.AT_MOST, 0.6, "× bare"),
        ),
        _throughput(loads, 1, "throughput, 1 connection", 0.80),
        Figure(
            "throughput, 1,000 connections",
            _rates(loads, "userauth", MANY),
            "requests/s",
            Baseline("itself at 128", _rates(loads, "userauth", TYPICAL)),
            Goal(Comparison.AT_LEAST, 0.95, "× itself at 128"),
        ),
        Figure(
            "throughput, 128 connections, compared with single lookups",
            _rates(loads, "userauth", TYPICAL),
            "requests/s",
            Baseline("select", selects),
        ),
    )


def _cpu_times(loads: Loads) -> tuple[Figure, ...]:
    own, bare, raw = (
        series([load.cpu_microseconds for load in loads[name, TYPICAL]])
        for name in ("userauth", "bare", "raw")
    )
    name = "CPU time of the server for a request, 128 connections"
    return (
        Figure(name, own, "µs", goal=Goal(Comparison.AT_MOST, MAX_CPU_MICROSECONDS, "µs")),
        Figure(f"{name}, compared with bare", own, "µs", Baseline("bare", bare)),
        Figure(f"{name}, compared with raw", own, "µs", Baseline("raw", raw)),
    )


def _throughput(loads: Loads, connections: int, name: str, bound: float) -> Figure:
    return Figure(
        name,
        _rates(loads, "userauth", connections),
        "requests/s",
        Baseline("bare", _rates(loads, "bare", connections)),
        Goal(Comparison.AT_LEAST, bound, "× bare"),
    )


def _rates(loads: Loads, name: str, connections: int) -> Series:
    return series([load.rate for load in loads[name, connections]])
