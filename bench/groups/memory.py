"""The resident memory of the server at 1,000 connections, before and after many requests."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from bench.load.wrk import Workload
from bench.processes import BenchError
from bench.results import Baseline, Comparison, Figure, Goal, Results, Series, series
from bench.run import Run
from bench.targets import userauth

CONNECTIONS = 1000
MEBIBYTE = 1024 * 1024
SAMPLE_SECONDS = 0.2
MAX_SECONDS = 1_200
NOTE = "The memory of the server is the largest resident set in one run."


def measure(run: Run) -> Results:
    """Measure the memory of a new server at 1,000 connections, before and after many requests."""
    tokens = run.token_list()
    with userauth(run.small_database()) as server:
        run.report("memory")
        run.warm_up(server, authorizations=tokens)
        workload = Workload(server, tokens)
        before = _peak_memory(run, workload)
        _send_further_requests(run, workload)
        after = _peak_memory(run, workload)
    run.report(f"  {before:.1f} MiB, then {after:.1f} MiB")
    return Results(figures=_figures(run, series([before]), series([after])), notes=(NOTE,))


def _peak_memory(run: Run, workload: Workload) -> float:
    with _sampled(workload.target.pid) as samples:
        run.load(workload, CONNECTIONS)
    return max(samples)


def _send_further_requests(run: Run, workload: Workload) -> None:
    sent, deadline = 0, time.monotonic() + MAX_SECONDS
    while sent < run.schedule.further_requests:
        sent += run.load(workload, CONNECTIONS, seconds=10).requests
        if time.monotonic() > deadline:
            raise BenchError(f"{sent} requests took longer than {MAX_SECONDS} seconds.")


def _figures(run: Run, before: Series, after: Series) -> tuple[Figure, Figure]:
    return (
        Figure(
            "memory at 1,000 connections",
            before,
            "MiB",
            goal=Goal(Comparison.AT_MOST, 85, "MiB"),
        ),
        Figure(
            f"memory after {run.schedule.further_requests:,} further requests",
            after,
            "MiB",
            Baseline("before", before),
            Goal(Comparison.AT_MOST, 1.05, "× before"),
        ),
    )


@contextmanager
def _sampled(pid: int) -> Iterator[list[float]]:
    """Yield the resident sets of a process in MiB, sampled during the block."""
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
