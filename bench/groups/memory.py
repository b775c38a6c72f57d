"""The resident set of the server at 1,000 connections, and after many requests more."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from bench.findings import Figure, Findings, Limit, Mark, Sense, series
from bench.processes import BenchError
from bench.session import Session
from bench.targets import userauth

CONNECTIONS = 1000
MEBIBYTE = 1024 * 1024
SAMPLE_SECONDS = 0.2
LONGEST_SECONDS = 1_200


def measure(session: Session) -> Findings:
    """Load a fresh server, look, load it for long, look again."""
    tokens = session.token_list()
    with userauth(session.small_database()) as server:
        session.say("memory")
        session.warm_up(server, authorizations=tokens)
        with _sampled(server.pid) as first:
            session.load(server, tokens, CONNECTIONS)
        sent, deadline = 0, time.monotonic() + LONGEST_SECONDS
        while sent < session.pace.further_requests:
            sent += session.load(server, tokens, CONNECTIONS, seconds=10).requests
            if time.monotonic() > deadline:
                raise BenchError(f"{sent} requests took longer than {LONGEST_SECONDS} seconds.")
        with _sampled(server.pid) as last:
            session.load(server, tokens, CONNECTIONS)
    before, after = series([max(first)]), series([max(last)])
    session.say(f"  {before.median:.1f} MiB, then {after.median:.1f} MiB")
    at_first = Figure(
        "resident at 1,000 connections",
        before,
        "MiB",
        mark=Mark(Sense.AT_MOST, 90, "MiB"),
    )
    later = Figure(
        f"the same after {session.pace.further_requests:,} further requests",
        after,
        "MiB",
        Limit("before", before),
        Mark(Sense.AT_MOST, 1.05, "× before"),
    )
    note = "The memory of the server is the highest resident set seen in one run."
    return Findings(figures=(at_first, later), notes=(note,))


@contextmanager
def _sampled(pid: int) -> Iterator[list[float]]:
    """Yield the resident sets of a process in MiB, looked at while the block runs."""
    process = psutil.Process(pid)
    samples = [process.memory_info().rss / MEBIBYTE]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            samples.append(process.memory_info().rss / MEBIBYTE)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
