"""How much CPU time other processes used during a measurement."""

import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from bench.paths import CLUSTER


def measure_noise(*own: int) -> Callable[[], float]:
    """Start measuring; the returned function returns the share of the cores that others used.

    ``own`` are our processes, which count with their children; so do Postgres and the programs
    that we started and that have exited. Time stolen by the hypervisor counts as used by others.
    """
    started, before = time.monotonic(), _used_by_others(own)

    def share() -> float:
        seconds = (time.monotonic() - started) * (os.cpu_count() or 1)
        return max(0.0, _used_by_others(own) - before) / seconds

    return share


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and its running children have used."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
    return total


def _used_by_others(own: tuple[int, ...]) -> float:
    times = psutil.cpu_times()
    # Interrupts are left out: they belong to no process, and our own traffic causes most of them.
    busy = times.user + times.nice + times.system + getattr(times, "steal", 0.0)
    exited = resource.getrusage(resource.RUSAGE_CHILDREN)
    ours = time.process_time() + exited.ru_utime + exited.ru_stime
    return busy - ours - sum(map(cpu_seconds, (*own, *_postmaster())))


def _postmaster() -> tuple[int, ...]:
    try:
        text = (CLUSTER / "postmaster.pid").read_text(encoding="utf-8", errors="replace")
        return (int(text.partition("\n")[0]),)
    except (FileNotFoundError, ValueError):
        return ()
