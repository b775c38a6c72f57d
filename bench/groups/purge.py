"""The removal of expired rows: tokens during a load, and failure counts."""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import psycopg2

from bench.load.wrk import Workload
from bench.processes import BenchError
from bench.recipes import EXPIRED_ROWS, counts_recipe, purge_recipe
from bench.results import (
    Baseline,
    Comparison,
    Figure,
    Goal,
    Results,
    Series,
    percentile,
    series,
)
from bench.run import Run
from bench.targets import userauth
from db import counts
from db.connecting import PoolLimits
from db.pool import Database

CONNECTIONS = 128
# All expired rows must be removed by then.
MAX_SECONDS = 1800
# The step of services/housekeeping.py, and the retention of counts in settings.toml.
STEP, KEPT_SECONDS = 500, 4500.0
# The statement timeout of a step.
STEP_TIMEOUT_SECONDS = 3.0
MAX_STEP_SECONDS = 0.5


@dataclass(frozen=True)
class Count:
    """A number of rows, and when they were counted."""

    at: float
    rows: int

    def removed_per_second(self, later: "Count") -> float:
        """Return how many rows per second were removed until a later count."""
        return (self.rows - later.rows) / (later.at - self.at)


def measure(run: Run) -> Results:
    """Load a server that keeps expired rows, then one that removes them."""
    tokens = run.token_list()
    url = run.cluster.prepare(purge_recipe())
    with userauth(url, "keeping", USERAUTH_TOKENS__KEEP_EXPIRED_DAYS="3650") as keeping:
        run.warm_up(keeping, authorizations=tokens)
        before = _p99s(run, Workload(keeping, tokens))
    with userauth(url, "removing") as removing:
        first = counted(partial(_count, url))
        run.warm_up(removing, authorizations=tokens)
        meanwhile = _p99s(run, Workload(removing, tokens))
        last = counted(partial(_count, url))
        if not last.rows:
            raise BenchError("All rows were removed before the measurement ended.")
        _wait_until_removed(url, first.at + MAX_SECONDS)
        total = time.monotonic() - first.at
    note = f"All {EXPIRED_ROWS:,} expired rows were removed within {total:,.0f} s."
    figures = _figures(before, meanwhile, first.removed_per_second(last))
    return Results(figures=figures, notes=(note,))


def _figures(before: Series, meanwhile: Series, rate: float) -> tuple[Figure, Figure]:
    p99 = Figure(
        "p99, 128 connections, while 5,000,000 expired rows are removed",
        meanwhile,
        "ms",
        Baseline("itself before", before),
        Goal(Comparison.AT_MOST, 2.0, "× before"),
    )
    return p99, Figure("expired rows removed meanwhile", series([rate]), "rows/s")


def _p99s(run: Run, workload: Workload) -> Series:
    seconds = run.schedule.slice * run.schedule.slices
    loads = [run.load(workload, CONNECTIONS, seconds) for _ in range(run.schedule.rounds)]
    return series([load.p99 for load in loads])


def _wait_until_removed(url: str, deadline: float) -> None:
    while _count(url):
        if time.monotonic() > deadline:
            raise BenchError(f"Expired rows remain after {MAX_SECONDS} s.")
        time.sleep(1)


def counted(count: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> Count:
    """Count rows; a query sees the rows that exist when it begins, even if it takes seconds."""
    return Count(at=clock(), rows=count())


def _count(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tokens WHERE expires_at < now()")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def measure_counts(run: Run) -> Results:
    """Remove expired failure counts from a table full of them, step by step."""
    recipe = counts_recipe(run.schedule.counts)
    url = run.cluster.prepare(recipe)
    try:
        steps, removed = asyncio.run(_remove_counts(url))
    finally:
        run.cluster.drop(recipe)
    longest = Figure(
        f"longest step of the removal of failure counts, {run.schedule.counts:,} rows",
        series([max(steps)]),
        "s",
        goal=Goal(Comparison.AT_MOST, MAX_STEP_SECONDS, "s"),
    )
    rate = Figure(
        "failure counts removed, without pauses", series([removed / sum(steps)]), "rows/s"
    )
    note = (
        f"{removed:,} of {run.schedule.counts:,} counts had expired and were removed in"
        f" {len(steps):,} steps: {1000 * percentile(steps, 50):.1f} ms at the median,"
        f" {1000 * percentile(steps, 99):.1f} ms for 99 %; the last 100 took"
        f" {1000 * percentile(steps[-101:-1], 50):.1f} ms at the median."
    )
    return Results(figures=(longest, rate), notes=(note,))


async def _remove_counts(url: str) -> tuple[list[float], int]:
    """Return the duration of each step, and how many rows were removed."""
    limits = PoolLimits(
        pool_min=1,
        pool_max=1,
        acquire_timeout_seconds=STEP_TIMEOUT_SECONDS,
        query_timeout_seconds=STEP_TIMEOUT_SECONDS,
    )
    database = await Database.open(url, limits)
    steps, total, since = [], 0, datetime.min  # noqa: DTZ901 - a column without a time zone
    try:
        async with database.connection(MAX_SECONDS) as connection:
            removed = STEP
            while removed == STEP:
                started = time.perf_counter()
                removed, since = await counts.delete_old(
                    connection, accounts=False, since=since, kept_seconds=KEPT_SECONDS, limit=STEP
                )
                steps.append(time.perf_counter() - started)
                total += removed
    finally:
        await database.close()
    return steps, total
