"""PgBouncer between the server and Postgres, in both modes, compared with direct connections.

Lookups are measured in this process, one after another, as the server sends them. Behind PgBouncer
in transaction mode, nothing is prepared: the cost of that is also measured separately.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

import uvloop

from bench.dataset import USERS, signed_tokens, spread, token_digest
from bench.load.wrk import Load, Workload
from bench.order import in_turn
from bench.processes import BenchError
from bench.results import Baseline, Figure, Results, Series, series
from bench.run import SMALL, Run, check_user
from bench.targets import Target, bearers, userauth
from db.connecting import PoolLimits
from db.lookups import open_lookups
from db.pool import Database
from postgres.server_role import ROLE
from settings.choices import Pooler
from tests.harness.pgbouncer import running_pgbouncer, set_role
from tests.harness.programs import find_program
from tests.harness.sql import run_sql

CONNECTIONS = (1, 128)
# The number of lookups in a round, one after another.
LOOKUPS = 2_000
DIRECT = "directly"
# As in settings.toml.
_LIMITS = {"acquire_timeout_seconds": 5.0, "query_timeout_seconds": 3.0}


@dataclass(frozen=True)
class Way:
    """A way to Postgres: its name in figures, its URL, and ``database.pooler``."""

    name: str
    url: str
    pooler: Pooler


def measure(run: Run) -> Results:
    """Measure lookups and requests, each way in turn."""
    if find_program("pgbouncer") is None:
        return Results(notes=("PgBouncer was not measured: it is not installed.",))
    url = run.small_database()
    with _ways(url) as ways:
        return Results(figures=(*_lookups(run, ways, url), *_requests(run, ways, url)))


@contextmanager
def _ways(url: str) -> Iterator[Sequence[Way]]:
    """Run PgBouncer; meanwhile, the role has the settings that its transaction mode requires."""
    set_role(url, SMALL)
    try:
        with running_pgbouncer(url) as pooled:
            yield (
                Way(DIRECT, url, Pooler.NONE),
                Way("through PgBouncer in session mode", f"{pooled}session", Pooler.SESSION),
                Way(
                    "through PgBouncer in transaction mode",
                    f"{pooled}transaction",
                    Pooler.TRANSACTION,
                ),
            )
    finally:
        run_sql(url, f"ALTER ROLE {ROLE} IN DATABASE {SMALL} RESET ALL")


def _lookups(run: Run, ways: Sequence[Way], url: str) -> Iterator[Figure]:
    unprepared = Way("directly, without a prepared plan", url, Pooler.TRANSACTION)
    keys = [str(uuid.UUID(token_digest(number))) for number in spread(USERS, LOOKUPS)]
    times: dict[str, list[float]] = {}
    for number in run.rounds("pooler, lookups"):
        for way in in_turn((ways[0], unprepared, *ways[1:]), number):
            took = uvloop.run(_median_ms(way, keys))
            times.setdefault(way.name, []).append(took)
            run.report(f"  {way.name}: {took:.3f} ms")
    return _compared("lookup", {name: series(each) for name, each in times.items()}, "ms")


async def _median_ms(way: Way, keys: Sequence[str]) -> float:
    """Return the median duration of a lookup in milliseconds."""
    database = Database(way.url, PoolLimits(pool_min=0, pool_max=1, pooler=way.pooler, **_LIMITS))
    lookups = open_lookups(database)
    durations = []
    try:
        for key in keys:
            started = time.perf_counter()
            if await lookups.users_of_tokens.find(key) is None:
                raise BenchError(f"A lookup {way.name} does not find its token.")
            durations.append((time.perf_counter() - started) * 1000)
    finally:
        await lookups.close()
        await database.close()
    return median(durations)


def _requests(run: Run, ways: Sequence[Way], url: str) -> Iterator[Figure]:
    loads: dict[int, dict[str, list[Load]]] = {count: {} for count in CONNECTIONS}
    tokens = run.token_list()
    with ExitStack() as stack:
        targets = [stack.enter_context(_server(way, url)) for way in ways]
        for target in targets:
            check_user(target, bearers(signed_tokens([7]))[0], 7)
        run.warm_up(*targets, authorizations=tokens)
        workloads = [Workload(target, tokens) for target in targets]
        for number in run.rounds("pooler, requests"):
            for count in CONNECTIONS:
                measured = run.compare(workloads, count, number)
                for way, load in zip(ways, measured, strict=True):
                    loads[count].setdefault(way.name, []).append(load)
    p50s = {name: series([load.p50 for load in each]) for name, each in loads[1].items()}
    rates = {name: series([load.rate for load in each]) for name, each in loads[128].items()}
    yield from _compared("p50, 1 connection,", p50s, "ms")
    yield from _compared("throughput, 128 connections,", rates, "requests/s")


@contextmanager
def _server(way: Way, direct_url: str) -> Iterator[Target]:
    variables = {"USERAUTH_DATABASE__POOLER": str(way.pooler)}
    if way.pooler is Pooler.TRANSACTION:
        variables["USERAUTH_DATABASE__DIRECT_URL"] = direct_url
    with userauth(way.url, f"pooler-{way.pooler}", **variables) as target:
        yield target


def _compared(what: str, values: Mapping[str, Series], unit: str) -> Iterator[Figure]:
    for name, each in values.items():
        baseline = None if name == DIRECT else Baseline(DIRECT, values[DIRECT])
        yield Figure(f"{what} {name}", each, unit, baseline)
