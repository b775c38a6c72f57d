"""wrk, with a script that rotates through tokens.

wrk runs one thread, which sends up to 50,000 requests per second: a second one would only use CPU
time of the server and Postgres, which share the cores. The script counts every status; that costs
2 % of a core at 7,000 responses per second, for the baseline as well as for the server.

wrk corrects the latencies of all servers for requests that it could not send while it waited
(coordinated omission): its percentiles are no better than those that a client sees.
"""

import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from bench.noise import cpu_seconds
from bench.paths import BENCH, LISTS
from bench.processes import BenchError, run_to_end
from bench.targets import Target

TIMEOUT_SECONDS = 10
_SCRIPT = BENCH / "load" / "rotate.lua"
_PREFIX = "RESULT "
_MILLISECOND = 1000.0


@dataclass(frozen=True)
class Load:
    """The results of wrk; latencies are in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p90: float
    p99: float
    p99_9: float
    highest: float
    # Every outcome except status 200, and its count.
    faults: dict[str, int]
    # The CPU time of the server during the load.
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Return the requests per second."""
        return self.requests / self.seconds

    @property
    def cpu_microseconds(self) -> float:
        """Return the CPU time of the server for each request, in microseconds."""
        return self.cpu_seconds * 1_000_000 / max(1, self.requests)


@dataclass(frozen=True)
class Workload:
    """The requests to one server: the Authorization values, and whether to send keep-alive.

    HTTP/1.1 keeps connections alive without the header, but most client libraries send it.
    """

    target: Target
    authorizations: Path
    keep_alive: bool = False

    @property
    def name(self) -> str:
        suffix = ", Connection: keep-alive" if self.keep_alive else ""
        return f"{self.target.name}, {self.authorizations.stem}{suffix}"


def merged(loads: Sequence[Load]) -> Load:
    """Return the sum of several runs of one load, with the means of their latencies.

    For p99 and above, it is the maximum: a stall in one run must not be averaged out.
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
        highest=max(load.highest for load in loads),
        faults=dict(faults),
        cpu_seconds=sum(load.cpu_seconds for load in loads),
    )


def require_wrk() -> str:
    """Return the name of the wrk program; raises BenchError if it is not installed."""
    if shutil.which("wrk") is None:
        raise BenchError(
            "wrk is not installed. On Debian and Ubuntu, run `apt-get install wrk`; Fedora and"
            " Homebrew have a package of the same name."
        )
    return "wrk"


def write_list(name: str, authorizations: Sequence[str]) -> Path:
    """Write the Authorization values to rotate through, one per line."""
    LISTS.mkdir(parents=True, exist_ok=True)
    path = LISTS / f"{name}.txt"
    path.write_text("".join(f"{value}\n" for value in authorizations), encoding="ascii")
    return path


def run_wrk(workload: Workload, *, connections: int, seconds: int) -> Load:
    """Load a server with requests for the user, and measure the CPU time that they take."""
    before = cpu_seconds(*workload.target.pids)
    command = [
        require_wrk(),
        "--threads=1",
        f"--connections={connections}",
        f"--duration={seconds}s",
        f"--timeout={TIMEOUT_SECONDS}s",
        "--latency",
        f"--script={_SCRIPT}",
        workload.target.user_url,
        "--",
        str(workload.authorizations),
        str(random.randrange(1_000_000)),  # the position in the list
        *(["keep-alive"] if workload.keep_alive else []),
    ]
    load = _parse(run_to_end(command, timeout=seconds + 30, log="wrk"))
    return replace(load, cpu_seconds=cpu_seconds(*workload.target.pids) - before)


def _parse(output: str) -> Load:
    results = [line for line in output.splitlines() if line.startswith(_PREFIX)]
    if not results:
        raise BenchError(f"wrk printed no result: {output}")
    found = json.loads(results[0].removeprefix(_PREFIX))
    statuses = {status: count for status, count in found["statuses"].items() if status != "200"}
    errors = {name: found[name] for name in ("connect", "read", "write", "timeout")}
    faults = {name: count for name, count in {**statuses, **errors}.items() if count}
    if not found["requests"]:
        faults["no response"] = 1
    return Load(
        requests=found["requests"],
        seconds=found["microseconds"] / 1_000_000,
        p50=found["p50"] / _MILLISECOND,
        p90=found["p90"] / _MILLISECOND,
        p99=found["p99"] / _MILLISECOND,
        p99_9=found["p99_9"] / _MILLISECOND,
        highest=found["max"] / _MILLISECOND,
        faults=faults,
    )
