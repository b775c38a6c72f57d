"""The server beside its peers: one process each, only one of them loaded at a time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from bench.findings import Contender, Findings, series
from bench.groups.beside import TOKENS, measure_beside
from bench.load.wrk import Load, write_list
from bench.peers.launch import PEERS, running_peer
from bench.people import USERS, signed_tokens, spread, token_digest
from bench.session import Session, check_user
from bench.targets import Target, bare, bearers, userauth

CONNECTIONS = 128
LOG_IN_CLIENTS = 32


def measure(session: Session) -> Findings:
    """Measure throughput first, then token requests while 32 clients log in."""
    numbers = spread(USERS)
    own = bearers(signed_tokens(numbers))
    theirs = bearers([token_digest(number) for number in numbers])
    with ExitStack() as stack:
        limit = stack.enter_context(bare())
        server = stack.enter_context(userauth(session.small_database()))
        peers = [stack.enter_context(running_peer(peer, session.cluster)) for peer in PEERS]
        presented = {target.name: theirs for target in peers}
        presented |= {limit.name: own, server.name: own}
        for target in (server, *peers):
            check_user(target, presented[target.name][0], numbers[0])
        loads = _load_all(session, (limit, server, *peers), presented)
        p99s = _measure_all_beside(session, (server, *peers), presented)
    titles = {peer.folder: peer.title for peer in PEERS}
    contenders = tuple(
        Contender(
            titles.get(name, name),
            series([load.rate for load in found]),
            series([load.p99 for load in found]),
            series(p99s[name]) if name in p99s else None,
        )
        for name, found in loads.items()
    )
    return Findings(contenders=contenders)


def _load_all(
    session: Session, targets: Sequence[Target], presented: Mapping[str, Sequence[str]]
) -> Mapping[str, Sequence[Load]]:
    lists = {name: write_list(f"peers-{name}", values) for name, values in presented.items()}
    for target in targets:
        session.warm_up(target, authorizations=lists[target.name])
    loads: dict[str, list[Load]] = {target.name: [] for target in targets}
    for number in range(session.pace.rounds):
        session.say(f"peers, throughput, round {number + 1} of {session.pace.rounds}")
        pairs = [(target, lists[target.name]) for target in targets]
        for (target, _), load in zip(
            pairs, session.compare(pairs, CONNECTIONS, number), strict=True
        ):
            loads[target.name].append(load)
    return loads


def _measure_all_beside(
    session: Session, targets: Sequence[Target], presented: Mapping[str, Sequence[str]]
) -> Mapping[str, Sequence[float]]:
    p99s: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(session.pace.rounds):
        session.say(f"peers, beside log-ins, round {number + 1} of {session.pace.rounds}")
        for target in targets:
            some = presented[target.name][:TOKENS]
            beside = measure_beside(session, target, some, LOG_IN_CLIENTS)
            p99s[target.name].append(beside.p99)
    return p99s
