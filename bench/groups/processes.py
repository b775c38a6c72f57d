"""Two server processes behind nginx, compared with one: throughput, CPU time, and their shares."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from bench.dataset import signed_tokens
from bench.load.nginx import running_nginx
from bench.load.wrk import Load, Workload
from bench.results import Baseline, Comparison, Figure, Goal, Results, series
from bench.run import Run, check_user
from bench.targets import USER_PATH, Target, bearers, userauth
from ops.cpus import available_cpus
from tests.harness.processes import free_ports
from tests.harness.programs import find_program
from tests.harness.scraping import read, read_now

CONNECTIONS = 128
MAX_CPU_RATIO = 1.05
MAX_SHARE = 55
# With fewer cores, Postgres and the load would use the CPU time of the second process.
MIN_CORES, MIN_RATE_RATIO = 4, 1.8


@dataclass(frozen=True)
class Site:
    """nginx and the processes behind it, and the ports of their metrics."""

    target: Target
    metrics: tuple[int, ...]

    def requests(self) -> list[float]:
        """Return how many requests for the user each process has answered."""
        texts = [read_now(f"http://127.0.0.1:{port}/metrics") for port in self.metrics]
        return [read(text).value("userauth_requests_total", route=USER_PATH) for text in texts]


@dataclass
class Rounds:
    """The loads of each round, and the percentage of requests that the busier process got."""

    one: list[Load] = field(default_factory=list)
    two: list[Load] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)


def measure(run: Run) -> Results:
    """Load one process and two in turn, each through nginx."""
    if find_program("nginx") is None:
        return Results(notes=("One process is not compared with two: nginx is not installed.",))
    tokens, rounds = run.token_list(), Rounds()
    with _site(run.small_database(), 1) as one, _site(run.small_database(), 2) as two:
        check_user(two.target, bearers(signed_tokens([7]))[0], 7)
        run.warm_up(one.target, two.target, authorizations=tokens)
        workloads = [Workload(site.target, tokens) for site in (one, two)]
        for number in run.rounds("processes"):
            before = two.requests()
            first, second = run.compare(workloads, CONNECTIONS, number)
            answered = [now - then for now, then in zip(two.requests(), before, strict=True)]
            rounds.one.append(first)
            rounds.two.append(second)
            rounds.shares.append(100 * max(answered) / sum(answered))
    return Results(figures=_figures(rounds), notes=_notes())


@contextmanager
def _site(database_url: str, count: int) -> Iterator[Site]:
    """Run nginx and a number of processes, numbered and configured like those of install.sh."""
    ports, metrics = free_ports(count), free_ports(count)
    numbers = range(1, count + 1)
    variables = {
        "PORT": str(ports),
        "USERAUTH_METRICS__PORT": str(metrics),
        "USERAUTH_SERVER__PROCESSES": str(count),
        "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1",
    }
    name = f"processes-{count}"
    with ExitStack() as stack:
        servers = []
        for number in numbers:
            own = variables | {"USERAUTH_SERVER__INSTANCE": str(number)}
            servers.append(stack.enter_context(userauth(database_url, f"{name}-{number}", **own)))
        port = stack.enter_context(
            running_nginx(f"nginx-{count}", [server.port for server in servers])
        )
        pid, *further = (server.pid for server in servers)
        target = Target(name, port, pid, tuple(further))
        yield Site(target, tuple(metrics + number for number in numbers))


def _figures(rounds: Rounds) -> tuple[Figure, ...]:
    return (
        Figure(
            "CPU time of two processes together for a request, 128 connections through nginx",
            series([load.cpu_microseconds for load in rounds.two]),
            "µs",
            Baseline("one process", series([load.cpu_microseconds for load in rounds.one])),
            Goal(Comparison.AT_MOST, MAX_CPU_RATIO, "× one process"),
        ),
        Figure(
            "requests that the busier one of two processes answers",
            series(rounds.shares),
            "%",
            goal=Goal(Comparison.AT_MOST, MAX_SHARE, "%", every_round=True),
        ),
        Figure(
            "throughput of two processes, 128 connections through nginx",
            series([load.rate for load in rounds.two]),
            "requests/s",
            Baseline("one process", series([load.rate for load in rounds.one])),
            Goal(Comparison.AT_LEAST, MIN_RATE_RATIO, "× one process") if _has_cores() else None,
        ),
    )


def _notes() -> tuple[str, ...]:
    if _has_cores():
        return ()
    note = (
        f"The throughput of two processes has no goal on fewer than {MIN_CORES} cores, which they"
        " share with nginx, Postgres and the load."
    )
    return (note,)


def _has_cores() -> bool:
    return available_cpus() >= MIN_CORES
