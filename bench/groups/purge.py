"""Five million expired tokens are removed while requests go on."""

import time
from contextlib import closing

import psycopg2

from bench.findings import Figure, Findings, Limit, Mark, Sense, series
from bench.load.wrk import Load
from bench.processes import BenchError
from bench.recipes import EXPIRED_ROWS, purge_recipe
from bench.session import Session
from bench.targets import Target, userauth

CONNECTIONS = 128
# By then all of them must be gone.
MOST_SECONDS = 1800


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
