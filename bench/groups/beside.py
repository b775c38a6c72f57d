"""Token requests, 100 per second, while other clients log in."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.dataset import USERS, password_credentials, signed_tokens, spread
from bench.load.logins import LoginPlan, LoginResults, logging_in
from bench.load.paced import PacedPlan, PacedResults, send_paced
from bench.processes import wait_until_idle
from bench.results import Comparison, Curve, Figure, Goal, Results, percentile, series
from bench.run import Run
from bench.targets import Target, bearers, userauth

# Until every client that logs in is in the hash queue.
LEAD_SECONDS = 3
TOKENS = 2_000
P99_MILLISECONDS = 50
MAX_REJECTION_SECONDS = 1
MAX_WAIT_SECONDS = 5  # passwords.max_wait_seconds in settings.toml


@dataclass(frozen=True)
class Beside:
    """The results of the token requests, and of the concurrent logins."""

    paced: PacedResults
    logins: LoginResults

    @property
    def p99(self) -> float:
        return percentile(self.paced.latencies, 99)

    @property
    def slowest_accepted(self) -> float:
        """Return the longest login in seconds, including unfinished ones with their wait so far."""
        return max([*self.logins.accepted, *self.logins.unfinished], default=0.0)

    @property
    def slowest_rejection(self) -> float:
        """Return the longest rejection in seconds, or the longest login if there is none."""
        return max(self.logins.rejected, default=self.slowest_accepted)


def measure_32(run: Run) -> Results:
    """Measure token requests while 32 clients log in, and without logins for comparison."""
    rounds, alone, tokens = [], [], bearers(signed_tokens(spread(USERS, TOKENS)))
    with userauth(run.small_database()) as server:
        for _ in run.rounds("beside 32 logins"):
            wait_until_idle(server.pid)
            alone += send_tokens(run, server, tokens, "alone", run.schedule.paced / 2).latencies
            rounds.append(measure_beside(run, server, tokens, 32))
    curves = (
        Curve("token requests, no logins", tuple(alone)),
        Curve("token requests, 32 clients log in", _token_latencies(rounds)),
        Curve("logins of 32 clients", _login_latencies(rounds)),
    )
    return Results(figures=(_p99_figure(rounds, 32),), curves=curves, notes=_notes(rounds, 32))


def measure_200(run: Run) -> Results:
    """Measure token requests while 200 clients log in, far more than the server can serve."""
    tokens = bearers(signed_tokens(spread(USERS, TOKENS)))
    with userauth(run.small_database()) as server:
        rounds = [measure_beside(run, server, tokens, 200) for _ in run.rounds("beside 200 logins")]
    rejections = Figure(
        "slowest rejection of a login over the limit, 200 clients",
        series([each.slowest_rejection for each in rounds]),
        "s",
        goal=Goal(Comparison.AT_MOST, MAX_REJECTION_SECONDS, "s", every_round=True),
    )
    waits = Figure(
        "slowest accepted login, 200 clients",
        series([each.slowest_accepted for each in rounds]),
        "s",
        goal=Goal(Comparison.AT_MOST, MAX_WAIT_SECONDS, "s", every_round=True),
    )
    curves = (
        Curve("token requests, 200 clients log in", _token_latencies(rounds)),
        Curve("accepted logins of 200 clients", _login_latencies(rounds)),
    )
    figures = (_p99_figure(rounds, 200), rejections, waits)
    return Results(figures=figures, curves=curves, notes=_notes(rounds, 200))


def measure_beside(run: Run, target: Target, authorizations: Sequence[str], clients: int) -> Beside:
    """Measure the token requests of one round while clients log in."""
    wait_until_idle(target.pid)
    logins = [target.login_request(each) for each in password_credentials()]
    seconds = LEAD_SECONDS + run.schedule.paced + 1.0
    plan = LoginPlan(target.port, logins, clients, seconds)
    what = f"{target.name}, logins of {clients} clients"
    with run.watching_noise(what), logging_in(plan, target.name) as wait:
        time.sleep(LEAD_SECONDS)
        paced = send_tokens(
            run, target, authorizations, f"while {clients} log in", run.schedule.paced
        )
        results = wait()
    run.record_faults(what, results.faults)
    run.report(
        f"  {what}: {len(results.accepted)} accepted, {len(results.rejected)} rejected,"
        f" {len(results.unfinished)} unfinished"
    )
    return Beside(paced, results)


def send_tokens(
    run: Run, target: Target, authorizations: Sequence[str], when: str, seconds: float
) -> PacedResults:
    """Send token requests at a constant rate."""
    requests = [target.user_request(value) for value in authorizations]
    plan = PacedPlan(target.port, requests, seconds)
    paced = send_paced(plan, target.name)
    what = f"{target.name}, token requests {when}"
    run.record_faults(what, paced.faults)
    run.report(f"  {what}: p99 {percentile(paced.latencies, 99):,.1f} ms")
    return paced


def _p99_figure(rounds: list[Beside], clients: int) -> Figure:
    return Figure(
        f"p99 of token requests (100/s) while {clients} clients log in",
        series([each.p99 for each in rounds]),
        "ms",
        goal=Goal(Comparison.AT_MOST, P99_MILLISECONDS, "ms"),
    )


def _token_latencies(rounds: list[Beside]) -> tuple[float, ...]:
    return tuple(latency for each in rounds for latency in each.paced.latencies)


def _login_latencies(rounds: list[Beside]) -> tuple[float, ...]:
    return tuple(
        seconds * 1000
        for each in rounds
        for seconds in (*each.logins.accepted, *each.logins.unfinished)
    )


def _notes(rounds: list[Beside], clients: int) -> tuple[str, ...]:
    accepted = sum(len(each.logins.accepted) for each in rounds)
    rejected = sum(len(each.logins.rejected) for each in rounds)
    unfinished = sum(len(each.logins.unfinished) for each in rounds)
    late = percentile([value for each in rounds for value in each.paced.lateness], 99)
    raised = all(each.paced.raised_priority for each in rounds)
    priority = "at a raised priority" if raised else "at normal priority (raising is not allowed)"
    note = (
        f"While {clients} clients logged in, {accepted} logins were accepted, {rejected} rejected"
        f" with 503 and Retry-After, and {unfinished} unfinished at the end. The client of the"
        f" token requests ran {priority} and sent 99 % of them within {late:.1f} ms of their due"
        " time; that delay is part of the latencies."
    )
    return (note,)
