"""Throughput and latency by the number of connections, against bare Tornado and Postgres."""

from collections import defaultdict

from bench.findings import Figure, Findings, Limit, Line, Mark, Sense, Series, series
from bench.load.pgbench import measure_selects
from bench.load.wrk import Load
from bench.people import signed_tokens
from bench.session import SMALL, Session, check_user
from bench.targets import bare, bearers, userauth

CONNECTIONS = (1, 8, 32, 128, 512, 1000)
TYPICAL, MANY = 128, 1000
# Opening 1,000 connections takes part of a second, which is not what is asked for.
LONGER = 3
Loads = dict[tuple[str, int], list[Load]]


def measure(session: Session) -> Findings:
    """Load the server and the limits with more and more connections."""
    loads: Loads = defaultdict(list)
    selects: list[float] = []
    tokens = session.token_list()
    with bare() as limit, userauth(session.small_database()) as server:
        check_user(server, bearers(signed_tokens([7]))[0], 7)
        session.warm_up(limit, server, authorizations=tokens)
        for number in range(session.pace.rounds):
            session.say(f"connections, round {number + 1} of {session.pace.rounds}")
            selects.append(_select(session))
            for connections in CONNECTIONS:
                pairs = [(limit, tokens), (server, tokens)]
                seconds = session.pace.slice * (LONGER if connections == MANY else 1)
                found = session.compare(pairs, connections, number, seconds)
                for (target, _), load in zip(pairs, found, strict=True):
                    loads[target.name, connections].append(load)
    lines = tuple(
        Line(name, tuple((count, _rates(loads, name, count)) for count in CONNECTIONS))
        for name in (limit.name, server.name)
    )
    return Findings(figures=_figures(loads, series(selects)), lines=lines)


def _select(session: Session) -> float:
    rate = measure_selects(session.cluster, SMALL, session.pace.slices * session.pace.slice)
    session.say(f"  pgbench: {rate:,.0f} look-ups/s")
    return rate


def _figures(loads: Loads, selects: Series) -> tuple[Figure, ...]:
    bare_p99 = series([load.p99 for load in loads["bare", TYPICAL]])
    own_p99 = series([load.p99 for load in loads["userauth", TYPICAL]])
    return (
        _throughput(loads, TYPICAL, "throughput, 128 connections", 0.90),
        Figure(
            "p99, 128 connections",
            own_p99,
            "ms",
            Limit("bare", bare_p99),
            Mark(Sense.AT_MOST, 1.5, "× bare"),
        ),
        _throughput(loads, 1, "throughput, 1 connection", 0.55),
        Figure(
            "throughput, 1,000 connections",
            _rates(loads, "userauth", MANY),
            "requests/s",
            Limit("itself at 128", _rates(loads, "userauth", TYPICAL)),
            Mark(Sense.AT_LEAST, 0.9, "× itself at 128"),
        ),
        Figure(
            "throughput, 128 connections, of look-ups one by one",
            _rates(loads, "userauth", TYPICAL),
            "requests/s",
            Limit("select", selects),
        ),
    )


def _throughput(loads: Loads, connections: int, name: str, bound: float) -> Figure:
    return Figure(
        name,
        _rates(loads, "userauth", connections),
        "requests/s",
        Limit("bare", _rates(loads, "bare", connections)),
        Mark(Sense.AT_LEAST, bound, "× bare"),
    )


def _rates(loads: Loads, name: str, connections: int) -> Series:
    return series([load.rate for load in loads[name, connections]])
