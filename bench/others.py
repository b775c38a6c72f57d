"""How much of the machine others used while something was measured."""

import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from bench.places import CLUSTER


def watch_others(*own: int) -> Callable[[], float]:
    """Begin to watch; what is returned tells which share of the cores went to others since.

    ``own`` are processes that count as ours, with their children; so do Postgres, and programs
    that were started meanwhile and have ended. Time that the hypervisor took away is others'.
    """
    begun, before = time.monotonic(), _taken(own)

    def share() -> float:
        seconds = (time.monotonic() - begun) * (os.cpu_count() or 1)
        return max(0.0, _taken(own) - before) / seconds

    return share


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process and its living children have used."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
    return total


def _taken(own: tuple[int, ...]) -> float:
    """Return the processor time that the machine has spent on others than ours."""
    times = psutil.cpu_times()
    # Interrupts belong to nobody, and our own traffic makes most of them.
    busy = times.user + times.nice + times.system + getattr(times, "steal", 0.0)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ours = time.process_time() + ended.ru_utime + ended.ru_stime
    return busy - ours - sum(map(processor_seconds, (*own, *_postmaster())))


def _postmaster() -> tuple[int, ...]:
    try:
        text = (CLUSTER / "postmaster.pid").read_text(encoding="utf-8", errors="replace")
        return (int(text.partition("\n")[0]),)
    except (FileNotFoundError, ValueError):
        return ()
