"""The server and its peers: one process each, and only one of them loaded at a time.

All are compared at 128 connections, and the server with PocketBase at one as well.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from bench.dataset import USERS, signed_tokens, spread
from bench.groups.beside import TOKENS, measure_beside
from bench.load.wrk import Load, Workload, write_list
from bench.order import in_turn
from bench.peers.launch import PEERS, running_peer
from bench.results import (
    Baseline,
    Comparison,
    Contender,
    Figure,
    Goal,
    Results,
    Series,
    series,
)
from bench.run import Run, check_user
from bench.targets import Target, bare, bearers, userauth

CONNECTIONS = 128
LOGIN_CLIENTS = 32
# The likely alternative for users, and the goals by the number of connections.
ALTERNATIVE = "pocketbase"
MIN_RATIOS = {CONNECTIONS: 3.0, 1: 1.1}
Loads = Mapping[str, Sequence[Load]]


def measure(run: Run) -> Results:
    """Measure throughput first, then token requests while 32 clients log in."""
    numbers = spread(USERS)
    own = bearers(signed_tokens(numbers))
    with ExitStack() as stack:
        baseline = stack.enter_context(bare())
        server = stack.enter_context(userauth(run.small_database()))
        peers = [stack.enter_context(running_peer(peer, run.cluster)) for peer in PEERS]
        authorizations = {peer.directory: peer.tokens(numbers) for peer in PEERS}
        authorizations |= {baseline.name: own, server.name: own}
        for target in (server, *peers):
            check_user(target, authorizations[target.name][0], numbers[0])
        alternatives = [peer for peer in peers if peer.name == ALTERNATIVE]
        loads = {
            CONNECTIONS: _load_all(run, (baseline, server, *peers), authorizations, CONNECTIONS),
            1: _load_all(run, (server, *alternatives), authorizations, 1),
        }
        without_login = {peer.directory for peer in PEERS if not peer.is_comparable_at_login}
        others = [peer for peer in peers if peer.name not in without_login]
        p99s = measure_all_beside(run, (server, *others), authorizations)
    figures = tuple(_figure(count, loads[count], bound) for count, bound in MIN_RATIOS.items())
    return Results(figures=figures, contenders=_contenders(loads[CONNECTIONS], p99s))


def _figure(connections: int, loads: Loads, bound: float) -> Figure:
    suffix = "" if connections == 1 else "s"
    return Figure(
        f"throughput, {connections} connection{suffix}",
        _rates(loads["userauth"]),
        "requests/s",
        Baseline("PocketBase", _rates(loads[ALTERNATIVE])),
        Goal(Comparison.AT_LEAST, bound, "× PocketBase"),
    )


def _contenders(loads: Loads, p99s: Mapping[str, Sequence[float]]) -> tuple[Contender, ...]:
    titles = {peer.directory: peer.title for peer in PEERS}
    return tuple(
        Contender(
            titles.get(name, name),
            _rates(measured),
            series([load.p99 for load in measured]),
            series(p99s[name]) if name in p99s else None,
        )
        for name, measured in loads.items()
    )


def _rates(loads: Sequence[Load]) -> Series:
    return series([load.rate for load in loads])


def _load_all(
    run: Run,
    targets: Sequence[Target],
    authorizations: Mapping[str, Sequence[str]],
    connections: int,
) -> Loads:
    lists = {name: write_list(f"peers-{name}", values) for name, values in authorizations.items()}
    for target in targets:
        run.warm_up(target, authorizations=lists[target.name])
    loads: dict[str, list[Load]] = {target.name: [] for target in targets}
    workloads = [Workload(target, lists[target.name]) for target in targets]
    for number in run.rounds(f"peers, throughput, {connections} at a time"):
        measured = run.compare(workloads, connections, number)
        for workload, load in zip(workloads, measured, strict=True):
            loads[workload.target.name].append(load)
    return loads


def measure_all_beside(
    run: Run, targets: Sequence[Target], authorizations: Mapping[str, Sequence[str]]
) -> Mapping[str, Sequence[float]]:
    """Return the p99 of the token requests of each round, by target."""
    p99s: defaultdict[str, list[float]] = defaultdict(list)
    for number in run.rounds("peers, beside logins"):
        for target in in_turn(targets, number):
            some = authorizations[target.name][:TOKENS]
            beside = measure_beside(run, target, some, LOGIN_CLIENTS)
            p99s[target.name].append(beside.p99)
    return p99s
