"""A run: its pace, its databases, and what every group of measurements needs."""

import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from bench.cluster import Cluster
from bench.load.wrk import Load, merged, run_wrk, write_list
from bench.others import watch_others
from bench.people import USERS, email, signed_tokens, spread
from bench.processes import BenchError, settle
from bench.recipes import userauth_recipe
from bench.targets import Target, bearers

SMALL, LARGE = "bench_100_thousand", "bench_5_million"
LARGE_ROWS = 5_000_000
WARM_UP_SECONDS = 2
# From here on what others do to the machine is told at once.
NOISY = 0.1


@dataclass(frozen=True)
class Pace:
    """How long things are measured, in seconds, and how often."""

    name: str
    rounds: int
    # Each load of a round is measured in slices, the servers taking turns: A B B A.
    slices: int
    slice: int
    hashing: int
    paced: int
    further_requests: int
    # How many log-ins of an honest user there are beside each flood.
    honest: int
    # How many counts of tries there are to be removed.
    counts: int


QUICK = Pace(
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
FULL = Pace(
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


class Session:
    """What is measured on, at which pace, and which answers were not the expected ones."""

    def __init__(self, cluster: Cluster, pace: Pace) -> None:
        self.cluster = cluster
        self.pace = pace
        self.faults: list[str] = []
        self.others: list[float] = []

    def say(self, text: str) -> None:
        """Tell how far the run is."""
        print(text, flush=True)

    def small_database(self) -> str:
        """Return the URL of the database with 100,000 tokens."""
        return self.cluster.prepare(userauth_recipe(SMALL, USERS))

    def large_database(self) -> str:
        """Return the URL of the database with 5,000,000 tokens."""
        return self.cluster.prepare(userauth_recipe(LARGE, LARGE_ROWS))

    def forget_failures(self) -> None:
        """Set the counts of wrong passwords back: all clients come from one address."""
        with closing(psycopg2.connect(self.small_database())) as connection, connection:
            connection.cursor().execute("TRUNCATE throttle")

    def token_list(self, rows: int = USERS) -> Path:
        """Write the list of tokens to rotate over; return where it is."""
        return write_list(f"tokens-{rows}", bearers(signed_tokens(spread(rows))))

    def compare(
        self,
        pairs: Sequence[tuple[Target, Path]],
        connections: int,
        round_number: int,
        seconds: int | None = None,
    ) -> list[Load]:
        """Load servers in turn, each with its list, slice by slice; return the sums.

        Whoever went last begins the next slice, so that a machine that becomes slower or faster
        meanwhile does not favor one of them.
        """
        found: list[list[Load]] = [[] for _ in pairs]
        order = list(enumerate(pairs))
        if round_number % 2:
            order.reverse()
        for _ in range(self.pace.slices):
            for place, (target, authorizations) in order:
                found[place].append(self.load(target, authorizations, connections, seconds))
            order.reverse()
        return [merged(loads) for loads in found]

    def load(
        self, target: Target, authorizations: Path, connections: int, seconds: int | None = None
    ) -> Load:
        """Load a server with wrk, write down what went wrong, and tell the outcome."""
        duration = seconds or self.pace.slice
        what = f"{target.name}, {authorizations.stem}, {connections} connections"
        settle(target.pid)
        with self.watched(what, target):
            load = run_wrk(target, authorizations, connections=connections, seconds=duration)
        self.blame(what, load.faults)
        self.say(f"  {what}: {load.rate:,.0f}/s, p99 {load.p99:,.1f} ms")
        return load

    @contextmanager
    def watched(self, what: str, *targets: Target) -> Iterator[None]:
        """Write down how much of the machine others use meanwhile."""
        share = watch_others(*(target.pid for target in targets))
        yield
        self.others.append(share())
        if self.others[-1] > NOISY:
            self.say(f"  {what}: NOISY, others use {self.others[-1]:.0%} of the cores")

    def blame(self, what: str, faults: Mapping[str, int]) -> None:
        """Write down answers that were not the expected ones; the run has failed."""
        for fault, count in faults.items():
            self.faults.append(f"{what}: {fault} × {count}")
            self.say(f"  {what}: UNEXPECTED {fault} × {count}")

    def warm_up(self, *targets: Target, authorizations: Path) -> None:
        """Let servers and Postgres fill their caches: the first round is then like the rest."""
        for target in targets:
            load = run_wrk(target, authorizations, connections=32, seconds=WARM_UP_SECONDS)
            if load.faults:
                raise BenchError(f"{target.name} does not answer as it should: {load.faults}")


def check_user(target: Target, authorization: str, number: int) -> None:
    """Make sure that a server answers with the right user: wrk looks at the status only."""
    headers = {"Authorization": authorization}
    request = urllib.request.Request(target.user_url, headers=headers)  # noqa: S310 - 127.0.0.1
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            found = json.load(answer)
    except (OSError, ValueError) as error:
        raise BenchError(f"{target.name} does not answer as it should: {error}") from error
    if found.get("email") != email(number):
        raise BenchError(f"{target.name} answers with the wrong user: {found}")
