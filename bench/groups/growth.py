"""The effect of more users, with five tokens and two events each, on durations and sizes."""

import asyncio
import http.client
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

import psycopg2

from bench.dataset import password_credentials, signed_tokens, spread
from bench.load.backups import BackupTimes, time_backup
from bench.load.wrk import Workload
from bench.processes import BenchError
from bench.recipes import TOKENS_EACH, growth_recipe
from bench.results import Baseline, Comparison, Figure, Goal, Results, series
from bench.run import Run, check_user
from bench.targets import USER_PATH, Target, basic, bearers, userauth
from db import expired_tokens, users
from db.connecting import PoolLimits
from db.pool import Database

SIZES = (100_000, 1_000_000, 10_000_000)
CONNECTIONS = 128
# Requests of each kind in a round, one after another.
REQUESTS = 20
# A page of users, and a step of services/housekeeping.py.
PAGE, STEP = 100, 500
EXPIRED = 100_000
STEP_TIMEOUT_SECONDS = 60.0
_UNLIMITED = {
    "USERAUTH_THROTTLE__REGISTRATIONS": "1000000",
    "USERAUTH_REGISTRATION__VERIFICATION": "off",
}
_INSERT_EXPIRED = """
INSERT INTO tokens (id, user_id, created_at, expires_at)
SELECT
    gen_random_uuid(), md5('user ' || n)::uuid, '2026-01-01Z',
    timestamptz '2026-01-02Z' + n * interval '1 s'
FROM generate_series(1, %s) AS n
"""
_SIZES = """
SELECT
    pg_database_size(current_database()), pg_total_relation_size('users'),
    pg_total_relation_size('tokens'),
    (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('events'))::bigint
"""


@dataclass(frozen=True)
class Request:
    """A request, and the status that it should get."""

    method: str
    path: str
    authorization: str = ""
    body: Mapping[str, str] | None = None
    status: int = 200


def measure(run: Run) -> Results:
    """Measure each size in turn; the lookups of all sizes in the same rounds."""
    # Before the servers start, so that the databases are idle.
    urls = {size: run.cluster.prepare(growth_recipe(size)) for size in SIZES}
    results = Results(figures=tuple(_measure_servers(run, urls)))
    for size, url in urls.items():
        results += _measure_database(run, size, url)
    return results


def _measure_servers(run: Run, urls: Mapping[int, str]) -> Iterator[Figure]:
    with ExitStack() as stack:
        servers = {
            size: stack.enter_context(userauth(url, f"userauth-{size}", **_UNLIMITED))
            for size, url in urls.items()
        }
        for size, server in servers.items():
            check_user(server, bearers(signed_tokens([TOKENS_EACH * size]))[0], size)
        yield from _lookups(run, servers)
        for size, server in servers.items():
            yield from _calls(run, size, server)


def _lookups(run: Run, servers: Mapping[int, Target]) -> Iterator[Figure]:
    """Load the servers in turn, with tokens of all their users."""
    workloads = {
        size: Workload(server, run.token_list(TOKENS_EACH * size))
        for size, server in servers.items()
    }
    for workload in workloads.values():
        run.warm_up(workload.target, authorizations=workload.authorizations)
    rates: dict[int, list[float]] = {size: [] for size in servers}
    for number in run.rounds("growth"):
        loads = run.compare(list(workloads.values()), CONNECTIONS, number)
        for size, load in zip(workloads, loads, strict=True):
            rates[size].append(load.rate)
    smallest = Baseline(f"{SIZES[0]:,} users", series(rates[SIZES[0]]))
    for size in servers:
        goal = Goal(Comparison.AT_LEAST, 0.95, f"× {SIZES[0]:,} users")
        yield Figure(
            f"lookups, {size:,} users",
            series(rates[size]),
            "requests/s",
            baseline=None if size == SIZES[0] else smallest,
            goal=None if size == SIZES[0] else goal,
        )


def _calls(run: Run, size: int, server: Target) -> Iterator[Figure]:
    """Time the other calls, one after another."""
    tokens = bearers(signed_tokens(spread(TOKENS_EACH * size, REQUESTS)))
    calls: dict[str, list[Request]] = {
        "login, bcrypt included": [
            Request("POST", f"{USER_PATH}/login", basic(each))
            for each in password_credentials()[:REQUESTS]
        ],
        "list of tokens": [Request("GET", f"{USER_PATH}/tokens", each) for each in tokens],
        "page of the audit trail": [Request("GET", f"{USER_PATH}/events", each) for each in tokens],
    }
    times: dict[str, list[float]] = {}
    for _ in run.rounds(f"growth, {size:,} users"):
        calls["registration, bcrypt included"] = [_registration() for _ in range(REQUESTS)]
        for name, requests in calls.items():
            times.setdefault(name, []).append(_median_ms(run, server, requests))
    for name, rounds in times.items():
        yield Figure(f"{name}, {size:,} users", series(rounds), "ms")


def _registration() -> Request:
    body = {"email": f"{uuid.uuid4()}@example.com", "password": "correct horse battery"}
    return Request("POST", f"{USER_PATH}/register", body=body, status=201)


def _median_ms(run: Run, server: Target, requests: Sequence[Request]) -> float:
    """Return the median duration of requests in milliseconds."""
    durations = []
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        for request in requests:
            headers = {"Authorization": request.authorization} if request.authorization else {}
            body = json.dumps(request.body) if request.body else None
            if body:
                headers["Content-Type"] = "application/json"
            started = time.perf_counter()
            connection.request(request.method, request.path, body, headers)
            response = connection.getresponse()
            response.read()
            durations.append((time.perf_counter() - started) * 1000)
            if response.status != request.status:
                run.record_faults(f"{request.method} {request.path}", {str(response.status): 1})
    return median(durations)


def _measure_database(run: Run, size: int, url: str) -> Results:
    """Time the work of commands and housekeeping, and measure the size of the database."""
    run.report(f"growth, {size:,} users: sizes, removal, backup, restore")
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(_SIZES)
        sizes = cursor.fetchone() or (0, 0, 0, 0)
        cursor.execute(_INSERT_EXPIRED, (EXPIRED,))
    page, rate = asyncio.run(_page_and_purge(url, size))
    times = time_backup(run.cluster, url)
    figures = (
        Figure(f"page of {PAGE} users for an administrator, {size:,} users", series([page]), "ms"),
        Figure(f"expired tokens removed, {size:,} users", series([rate]), "rows/s"),
        Figure(f"backup, verified, {size:,} users", series([times.backup]), "s"),
        Figure(f"restore, {size:,} users", series([times.restore]), "s"),
    )
    return Results(figures=figures, notes=(_note(size, sizes, times),))


def _note(size: int, sizes: Sequence[int], times: BackupTimes) -> str:
    database, *tables = (f"{bytes_ / 2**20:,.0f} MiB" for bytes_ in sizes)
    return (
        f"{size:,} users: the database has {database}; with their indexes, `users` {tables[0]},"
        f" `tokens` {tables[1]}, `events` {tables[2]}. Its backup has"
        f" {times.size / 2**20:,.0f} MiB."
    )


async def _page_and_purge(url: str, size: int) -> tuple[float, float]:
    """Return the milliseconds of a page of users, and the expired tokens removed per second."""
    limits = PoolLimits(
        pool_min=1,
        pool_max=1,
        acquire_timeout_seconds=STEP_TIMEOUT_SECONDS,
        query_timeout_seconds=STEP_TIMEOUT_SECONDS,
    )
    database = await Database.open(url, limits)
    try:
        async with database.connection(3600) as connection:
            after = f"user{size // 2}@example.com"
            started = time.perf_counter()
            found = await users.find_page(
                connection, after=after, text="", only_disabled=False, limit=PAGE
            )
            page = (time.perf_counter() - started) * 1000
            if len(found) != PAGE:
                raise BenchError(f"A page has {len(found)} users.")
            removed, since, now = STEP, datetime.min.replace(tzinfo=UTC), datetime.now(UTC)
            total, started = 0, time.perf_counter()
            while removed == STEP:
                removed, since = await expired_tokens.delete_expired(
                    connection, since=since, before=now, limit=STEP
                )
                total += removed
            return page, total / (time.perf_counter() - started)
    finally:
        await database.close()
