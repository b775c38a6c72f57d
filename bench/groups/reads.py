"""Lookups with acknowledgements of a synchronous standby, compared with lookups without them.

Both servers use the same primary. Primary and standby are on this machine: a network would add its
round-trip time to each acknowledgement.
"""

from collections.abc import Mapping

from bench.dataset import USERS, signed_tokens
from bench.load.wrk import Load, Workload
from bench.recipes import userauth_recipe
from bench.replicated import replicated_database
from bench.results import Baseline, Comparison, Figure, Goal, Results, Series, series
from bench.run import SMALL, Run, check_user
from bench.targets import bearers, userauth

CONNECTIONS = (1, 128)
ACKNOWLEDGED = {"USERAUTH_DATABASE__READS": "acknowledged"}
MIN_RATIO = 0.85
MAX_MORE_MILLISECONDS = 1
# The loads of the server without and with acknowledgements, by the number of connections.
Rounds = Mapping[int, list[tuple[Load, Load]]]


def measure(run: Run) -> Results:
    """Load both servers in turn."""
    tokens = run.token_list()
    rounds: Rounds = {count: [] for count in CONNECTIONS}
    with (
        replicated_database(userauth_recipe(SMALL, USERS)) as url,
        userauth(url, "reads-primary") as primary,
        userauth(url, "reads-acknowledged", **ACKNOWLEDGED) as acknowledged,
    ):
        check_user(acknowledged, bearers(signed_tokens([7]))[0], 7)
        run.warm_up(primary, acknowledged, authorizations=tokens)
        workloads = [Workload(target, tokens) for target in (primary, acknowledged)]
        for number in run.rounds("reads"):
            for count in CONNECTIONS:
                without, with_standby = run.compare(workloads, count, number)
                rounds[count].append((without, with_standby))
    return Results(figures=figures(rounds))


def figures(rounds: Rounds) -> tuple[Figure, ...]:
    """Return the throughput at 128 connections, and the p50 at one."""
    throughput = Figure(
        'throughput, 128 connections, database.reads = "acknowledged"',
        series([load.rate for _, load in rounds[128]]),
        "requests/s",
        Baseline('"primary"', series([load.rate for load, _ in rounds[128]])),
        Goal(Comparison.AT_LEAST, MIN_RATIO, '× "primary"'),
    )
    before, after = (_p50(rounds, which) for which in (0, 1))
    name = 'p50, 1 connection, database.reads = "acknowledged"'
    differences = [b - a for a, b in zip(before.values, after.values, strict=True)]
    more = Figure(
        f'{name}: how much longer than "primary"',
        series(differences),
        "ms",
        goal=Goal(Comparison.AT_MOST, MAX_MORE_MILLISECONDS, "ms"),
    )
    return throughput, Figure(name, after, "ms", Baseline('"primary"', before)), more


def _p50(rounds: Rounds, which: int) -> Series:
    return series([pair[which].p50 for pair in rounds[1]])
