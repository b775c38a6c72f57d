"""Logins, compared with the hashes that the machine can compute."""

from bench.dataset import password_credentials
from bench.load.hashing import measure_hashing
from bench.load.logins import LoginPlan, logging_in
from bench.processes import wait_until_idle
from bench.recipes import BCRYPT_COST
from bench.results import Baseline, Comparison, Figure, Goal, Results, series
from bench.run import Run
from bench.targets import Target, userauth

CLIENTS = 32


def measure(run: Run) -> Results:
    """Measure logins of 32 clients, and bcrypt alone, in turn."""
    hashes, logins = [], []
    rejected = 0
    with userauth(run.small_database()) as server:
        requests = [server.login_request(each) for each in password_credentials()]
        for _ in run.rounds("logins"):
            wait_until_idle(server.pid)
            # Half before and half after, in case the speed of the machine changes.
            before = _hash(run)
            rate, rejections = log_in(run, server, requests)
            wait_until_idle(server.pid)
            hashes.append((before + _hash(run)) / 2)
            logins.append(rate)
            rejected += rejections
    figure = Figure(
        "logins, 32 clients, cost 12",
        series(logins),
        "logins/s",
        Baseline("bcrypt", series(hashes)),
        Goal(Comparison.AT_LEAST, 0.95, "× bcrypt"),
    )
    note = f"{rejected} logins of the 32 clients were rejected with 503 and Retry-After."
    return Results(figures=(figure,), notes=(note,) if rejected else ())


def _hash(run: Run) -> float:
    rate = measure_hashing(BCRYPT_COST, run.schedule.hashing / 2)
    run.report(f"  bcrypt: {rate:.2f}/s")
    return rate


def log_in(
    run: Run, server: Target, requests: list[str], what: str = "logins"
) -> tuple[float, int]:
    """Log in with 32 clients; return the logins per second, and the number of rejected ones."""
    plan = LoginPlan(server.port, requests, CLIENTS, run.schedule.hashing)
    what = f"{server.name}, {what} of {CLIENTS} clients"
    with run.watching_noise(what), logging_in(plan, server.name) as wait:
        results = wait()
    run.record_faults(what, results.faults)
    run.report(f"  {what}: {results.rate:.2f}/s, {len(results.rejected)} rejected")
    return results.rate, len(results.rejected)
