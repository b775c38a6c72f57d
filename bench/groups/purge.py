"""What is over is removed: expired tokens while requests go on, and counts of tries."""

import asyncio
import time
from contextlib import closing
from datetime import datetime

import psycopg2

from bench.findings import Figure, Findings, Limit, Mark, Sense, percentile, series
from bench.load.wrk import Load
from bench.processes import BenchError
from bench.recipes import EXPIRED_ROWS, counts_recipe, purge_recipe
from bench.session import Session
from bench.targets import Target, userauth
from db import counts
from db.connecting import PoolLimits
from db.pool import Database

CONNECTIONS = 128
# By then all of them must be gone.
MOST_SECONDS = 1800
# As in services/housekeeping.py, and how long counts are kept by settings.toml.
STEP, KEPT_SECONDS = 500, 4500.0
# Within it every step must end, or Postgres ends it.
STEP_SECONDS = 3.0
LONGEST_STEP_SECONDS = 0.5


def measure(session: Session) -> Findings:
    """Load a server that keeps the rows, then one that removes them."""
    tokens = session.token_list()
    url = session.cluster.prepare(purge_recipe())
    seconds = session.pace.slice * session.pace.slices

    def load(target: Target) -> Load:
        return session.load(target, tokens, CONNECTIONS, seconds)

    with userauth(url, "keeping", USERAUTH_TOKENS__KEEP_EXPIRED_DAYS="3650") as keeping:
        session.warm_up(keeping, authorizations=tokens)
        before = [load(keeping) for _ in range(session.pace.rounds)]
    with userauth(url, "removing") as removing:
        began, first = time.monotonic(), _count(url)
        session.warm_up(removing, authorizations=tokens)
        meanwhile = [load(removing) for _ in range(session.pace.rounds)]
        left = _count(url)
        rate = (first - left) / (time.monotonic() - began)
        if not left:
            raise BenchError("The rows were gone before the measurement ended.")
        while _count(url):
            if time.monotonic() > began + MOST_SECONDS:
                raise BenchError(f"Rows are left after {MOST_SECONDS} s.")
            time.sleep(1)
        whole = time.monotonic() - began
    p99 = Figure(
        "p99, 128 connections, while 5,000,000 expired rows are removed",
        series([one.p99 for one in meanwhile]),
        "ms",
        Limit("itself before", series([one.p99 for one in before])),
        Mark(Sense.AT_MOST, 2.0, "× before"),
    )
    removed = Figure("expired rows removed meanwhile", series([rate]), "rows/s")
    note = f"All {EXPIRED_ROWS:,} expired rows were gone after {whole:,.0f} s."
    return Findings(figures=(p99, removed), notes=(note,))


def _count(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tokens WHERE expires_at < now()")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def measure_counts(session: Session) -> Findings:
    """Remove counts of tries from a table full of them, step by step."""
    recipe = counts_recipe(session.pace.counts)
    url = session.cluster.prepare(recipe)
    try:
        steps, removed = asyncio.run(_remove_counts(url))
    finally:
        session.cluster.drop(recipe)
    longest = Figure(
        f"longest step of the removal of counts, {session.pace.counts:,} rows",
        series([max(steps)]),
        "s",
        mark=Mark(Sense.AT_MOST, LONGEST_STEP_SECONDS, "s"),
    )
    rate = Figure("counts removed, without pauses", series([removed / sum(steps)]), "rows/s")
    note = (
        f"{removed:,} of {session.pace.counts:,} counts were over, and gone after {len(steps):,}"
        f" steps: {1000 * percentile(steps, 50):.1f} ms at the median,"
        f" {1000 * percentile(steps, 99):.1f} ms for 99 %; the last 100 took"
        f" {1000 * percentile(steps[-101:-1], 50):.1f} ms at the median."
    )
    return Findings(figures=(longest, rate), notes=(note,))


async def _remove_counts(url: str) -> tuple[list[float], int]:
    """Return how long each step took, and how many rows are gone."""
    limits = PoolLimits(
        pool_min=1,
        pool_max=1,
        acquire_timeout_seconds=STEP_SECONDS,
        query_timeout_seconds=STEP_SECONDS,
    )
    database = await Database.open(url, limits)
    steps, whole, since = [], 0, datetime.min  # noqa: DTZ901 - a column without a time zone
    try:
        async with database.connection(MOST_SECONDS) as connection:
            removed = STEP
            while removed == STEP:
                began = time.perf_counter()
                removed, since = await counts.delete_old(
                    connection, accounts=False, since=since, kept_seconds=KEPT_SECONDS, limit=STEP
                )
                steps.append(time.perf_counter() - began)
                whole += removed
    finally:
        await database.close()
    return steps, whole
