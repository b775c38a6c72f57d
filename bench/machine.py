"""The machine and the versions of a run, without host names and paths."""

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.cluster import Cluster
from bench.load.wrk import require_wrk

LIBRARIES = ("tornado", "uvloop", "aiopg", "psycopg2-binary", "bcrypt")
GIBIBYTE = 1024**3
BUSY_SECONDS = 2.0


@dataclass(frozen=True)
class Machine:
    """The machine, and how busy it was before the run."""

    processor: str
    cores: int
    memory_gib: float
    kernel: str
    busy_percent: float
    versions: tuple[tuple[str, str], ...]


def busy_percent() -> float:
    """Return how busy the cores are before the run."""
    return psutil.cpu_percent(BUSY_SECONDS)


def describe(cluster: Cluster, *, busy: float) -> Machine:
    """Return the machine of this run."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gib=psutil.virtual_memory().total / GIBIBYTE,
        # Without the suffix, which may name the hosting provider.
        kernel=f"{platform.system()} {platform.release().partition('-')[0]}",
        busy_percent=busy,
        versions=(
            ("Python", platform.python_version()),
            *((library, version(library)) for library in LIBRARIES),
            ("Postgres", cluster.version()),
            ("wrk", _wrk_version()),
        ),
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    text = information.read_text(encoding="utf-8") if information.exists() else ""
    match = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.machine()


def _wrk_version() -> str:
    # wrk has no option that prints only its version; --version exits with 1.
    result = subprocess.run(
        [require_wrk(), "--version"], capture_output=True, text=True, check=False, timeout=10
    )
    match = re.search(r"wrk (\S+)", result.stdout + result.stderr)
    return match[1] if match else "?"
