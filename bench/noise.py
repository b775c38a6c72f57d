"""How much CPU time other processes used during a measurement."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil

from bench.paths import CLUSTER, REPLICATED


def measure_noise() -> Callable[[], float]:
    """Start measuring; the returned function returns the share of the cores that others used.

    This process, its children and Postgres are excluded. Time stolen by the hypervisor is included.
    """
    started, before = time.monotonic(), _used_by_others()

    def share() -> float:
        seconds = (time.monotonic() - started) * (os.cpu_count() or 1)
        return max(0.0, _used_by_others() - before) / seconds

    return share


def cpu_seconds(*pids: int) -> float:
    """Return the CPU time that processes and their running children have used."""
    return sum(map(_cpu_seconds, pids))


def _cpu_seconds(pid: int) -> float:
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
    return total


def _used_by_others() -> float:
    times = psutil.cpu_times()
    # Interrupts are left out: they belong to no process, and our own traffic causes most of them.
    busy = times.user + times.nice + times.system + getattr(times, "steal", 0.0)
    exited = resource.getrusage(resource.RUSAGE_CHILDREN)
    ours = cpu_seconds(os.getpid(), *_postmasters()) + exited.ru_utime + exited.ru_stime
    return busy - ours


def _postmasters() -> Iterator[int]:
    for data in (CLUSTER, *REPLICATED.glob("*")):
        with suppress(OSError, ValueError):
            text = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace")
            yield int(text.partition("\n")[0])
