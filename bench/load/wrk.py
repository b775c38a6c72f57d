"""wrk, with the script that rotates over tokens.

One thread of wrk: the machine's cores are shared with the server and Postgres, one thread sends
some 50,000 requests a second, and a second one would only take turns away from those measured.
Every status is counted in the script, which costs 2 % of a core at 7,000 answers a second,
for the limit as much as for the server.

wrk corrects for requests that it could not send while it waited (coordinated omission), for all
servers alike: its percentiles are no better than what a client sees.
"""

import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bench.places import BENCH, LISTS
from bench.processes import BenchError, run_bounded
from bench.targets import Target

TIMEOUT_SECONDS = 10
_SCRIPT = BENCH / "load" / "rotate.lua"
_MARK = "RESULT "
_MILLISECOND = 1000.0


@dataclass(frozen=True)
class Load:
    """What wrk saw; latencies are in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p90: float
    p99: float
    p99_9: float
    longest: float
    # Everything that was not the expected answer, and how often.
    faults: dict[str, int]

    @property
    def rate(self) -> float:
        """Return the requests a second."""
        return self.requests / self.seconds


def merged(loads: Sequence[Load]) -> Load:
    """Return several runs of one load as one: the sums, and of the latencies the means.

    Of the highest ones the worst run counts: a stall in one of them must not be halved.
    """
    faults: Counter[str] = Counter()
    for load in loads:
        faults.update(load.faults)
    return Load(
        requests=sum(load.requests for load in loads),
        seconds=sum(load.seconds for load in loads),
        p50=fmean(load.p50 for load in loads),
        p90=fmean(load.p90 for load in loads),
        p99=max(load.p99 for load in loads),
        p99_9=max(load.p99_9 for load in loads),
        longest=max(load.longest for load in loads),
        faults=dict(faults),
    )


def require_wrk() -> str:
    """Return which wrk is installed; tell how to get it where there is none."""
    if shutil.which("wrk") is None:
        raise BenchError(
            "wrk is missing. It is Debian's and Ubuntu's package wrk (`apt-get install wrk`),"
            " Fedora's and Homebrew's too."
        )
    return "wrk"


def write_list(name: str, authorizations: Sequence[str]) -> Path:
    """Write the Authorization values to rotate over, one a line."""
    LISTS.mkdir(parents=True, exist_ok=True)
    path = LISTS / f"{name}.txt"
    path.write_text("".join(f"{value}\n" for value in authorizations), encoding="ascii")
    return path


def run_wrk(target: Target, authorizations: Path, *, connections: int, seconds: int) -> Load:
    """Load a server with requests for the user."""
    command = [
        require_wrk(),
        "--threads=1",
        f"--connections={connections}",
        f"--duration={seconds}s",
        f"--timeout={TIMEOUT_SECONDS}s",
        "--latency",
        f"--script={_SCRIPT}",
        target.user_url,
        "--",
        str(authorizations),
        str(random.randrange(1_000_000)),  # noqa: S311 - where to begin
    ]
    printed = run_bounded(command, seconds=seconds + 30, log="wrk")
    return _read(printed)


def _read(printed: str) -> Load:
    marked = [line for line in printed.splitlines() if line.startswith(_MARK)]
    if not marked:
        raise BenchError(f"wrk printed no result: {printed}")
    found = json.loads(marked[0].removeprefix(_MARK))
    statuses = {status: count for status, count in found["statuses"].items() if status != "200"}
    errors = {name: found[name] for name in ("connect", "read", "write", "timeout")}
    faults = {name: count for name, count in {**statuses, **errors}.items() if count}
    if not found["requests"]:
        faults["no answer at all"] = 1
    return Load(
        requests=found["requests"],
        seconds=found["microseconds"] / 1_000_000,
        p50=found["p50"] / _MILLISECOND,
        p90=found["p90"] / _MILLISECOND,
        p99=found["p99"] / _MILLISECOND,
        p99_9=found["p99_9"] / _MILLISECOND,
        longest=found["max"] / _MILLISECOND,
        faults=faults,
    )
