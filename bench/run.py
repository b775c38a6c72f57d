"""A run: its schedule, its databases, and methods that all groups of measurements use."""

import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from bench.cluster import Cluster
from bench.dataset import USERS, email, signed_tokens, spread
from bench.load.wrk import Load, Workload, merged, run_wrk, write_list
from bench.noise import measure_noise
from bench.order import in_turn
from bench.processes import BenchError, wait_until_idle
from bench.recipes import userauth_recipe
from bench.targets import USER_PATH, Target, bearers

SMALL, LARGE = "bench_100_thousand", "bench_5_million"
LARGE_ROWS = 5_000_000
WARM_UP_SECONDS = 2
# If other processes use a higher share of the cores, it is reported at once.
MAX_NOISE = 0.1


@dataclass(frozen=True)
class Schedule:
    """The numbers of measurements, and their durations in seconds."""

    name: str
    rounds: int
    # Each load of a round is measured in slices; the servers take turns: A B B A.
    slices: int
    slice: int
    hashing: int
    paced: int
    further_requests: int
    # How many logins an honest user makes during each attack.
    honest: int
    # How many failure counts are removed.
    counts: int


QUICK = Schedule(
    "quick",
    rounds=3,
    slices=2,
    slice=2,
    hashing=10,
    paced=10,
    further_requests=20_000,
    honest=20,
    counts=1_000_000,
)
FULL = Schedule(
    "full",
    rounds=5,
    slices=4,
    slice=3,
    hashing=20,
    paced=20,
    further_requests=200_000,
    honest=100,
    counts=20_000_000,
)


class Run:
    """The cluster and the schedule of a run, and the faults and the noise that it found."""

    def __init__(self, cluster: Cluster, schedule: Schedule) -> None:
        self.cluster = cluster
        self.schedule = schedule
        self.faults: list[str] = []
        self.noise: list[float] = []

    def report(self, text: str) -> None:
        """Print the progress of the run."""
        print(text, flush=True)

    def rounds(self, name: str) -> Iterator[int]:
        """Yield the numbers of the rounds, and print each."""
        for number in range(self.schedule.rounds):
            self.report(f"{name}, round {number + 1} of {self.schedule.rounds}")
            yield number

    def small_database(self) -> str:
        """Return the URL of the database with 100,000 tokens."""
        return self.cluster.prepare(userauth_recipe(SMALL, USERS))

    def large_database(self) -> str:
        """Return the URL of the database with 5,000,000 tokens."""
        return self.cluster.prepare(userauth_recipe(LARGE, LARGE_ROWS))

    def reset_throttle(self) -> None:
        """Reset the counts of wrong passwords: all clients have the same IP address."""
        with closing(psycopg2.connect(self.small_database())) as connection, connection:
            connection.cursor().execute("TRUNCATE throttle")

    def token_list(self, rows: int = USERS) -> Path:
        """Write the list of tokens to rotate through; return its path."""
        return write_list(f"tokens-{rows}", bearers(signed_tokens(spread(rows))))

    def compare(
        self,
        workloads: Sequence[Workload],
        connections: int,
        round_number: int,
        seconds: int | None = None,
    ) -> list[Load]:
        """Measure workloads in turn, slice by slice; return the sum of each.

        The last one of a slice is the first one of the next, so that a change in the speed of the
        machine does not favor one of them.
        """
        loads: list[list[Load]] = [[] for _ in workloads]
        order = in_turn(list(enumerate(workloads)), round_number)
        for _ in range(self.schedule.slices):
            for index, workload in order:
                loads[index].append(self.load(workload, connections, seconds))
            order.reverse()
        return [merged(each) for each in loads]

    def load(self, workload: Workload, connections: int, seconds: int | None = None) -> Load:
        """Load a server with wrk, record the faults and print the result."""
        duration = seconds or self.schedule.slice
        what = f"{workload.name}, {connections} connections"
        wait_until_idle(*workload.target.pids)
        with self.watching_noise(what):
            load = run_wrk(workload, connections=connections, seconds=duration)
        self.record_faults(what, load.faults)
        self.report(
            f"  {what}: {load.rate:,.0f}/s, p99 {load.p99:,.1f} ms,"
            f" {load.cpu_microseconds:.0f} µs CPU each"
        )
        return load

    @contextmanager
    def watching_noise(self, what: str) -> Iterator[None]:
        """Record how much of the machine other processes use during the block."""
        share = measure_noise()
        yield
        self.noise.append(share())
        if self.noise[-1] > MAX_NOISE:
            self.report(f"  {what}: NOISY, others use {self.noise[-1]:.0%} of the cores")

    def record_faults(self, what: str, faults: Mapping[str, int]) -> None:
        """Record unexpected responses; the run has failed."""
        for fault, count in faults.items():
            self.faults.append(f"{what}: {fault} × {count}")
            self.report(f"  {what}: UNEXPECTED {fault} × {count}")

    def warm_up(self, *targets: Target, authorizations: Path) -> None:
        """Fill the caches of servers and Postgres, so that the first round is like the rest."""
        for target in targets:
            load = run_wrk(
                Workload(target, authorizations), connections=32, seconds=WARM_UP_SECONDS
            )
            if load.faults:
                raise BenchError(f"{target.name} returns unexpected responses: {load.faults}")


def check_user(target: Target, authorization: str, number: int) -> None:
    """Check that a server returns the correct user, since wrk sees only the status."""
    value, _, path = authorization.partition("\t")
    url = target.url(path or USER_PATH)
    request = urllib.request.Request(url, headers={"Authorization": value})  # noqa: S310 - 127.0.0.1
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            user = json.load(response)
    except (OSError, ValueError) as error:
        raise BenchError(f"{target.name} does not return the user: {error}") from error
    if user.get("email") != email(number):
        raise BenchError(f"{target.name} returns the wrong user: {user}")
