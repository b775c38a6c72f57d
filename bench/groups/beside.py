"""Token requests, 100 a second, while others log in."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.findings import Curve, Figure, Findings, Mark, Sense, percentile, series
from bench.load.log_ins import LogInFindings, LogInPlan, logging_in
from bench.load.paced import PacedFindings, PacedPlan, send_paced
from bench.people import USERS, password_people, signed_tokens, spread
from bench.processes import settle
from bench.session import Session
from bench.targets import Target, bearers, userauth

# Until every log-in client has its place in the queue.
LEAD_SECONDS = 3
TOKENS = 2_000
P99_MILLISECONDS = 50
REFUSAL_SECONDS = 1
MAX_WAIT_SECONDS = 5  # passwords.max_wait_seconds, as settings.toml has it


@dataclass(frozen=True)
class Beside:
    """What became of the token requests, and of the log-ins beside them."""

    paced: PacedFindings
    log_ins: LogInFindings

    @property
    def p99(self) -> float:
        return percentile(self.paced.latencies, 99)

    @property
    def slowest_let_in(self) -> float:
        """Return the longest log-in in seconds; one that never ended counts as long as it was."""
        return max([*self.log_ins.let_in, *self.log_ins.unfinished], default=0.0)

    @property
    def slowest_refusal(self) -> float:
        """Return the longest refusal in seconds; where nobody is refused, what they waited."""
        return max(self.log_ins.refused, default=self.slowest_let_in)


def measure_32(session: Session) -> Findings:
    """Measure token requests while 32 clients log in, and alone, for comparison."""
    rounds, alone, tokens = [], [], bearers(signed_tokens(spread(USERS, TOKENS)))
    with userauth(session.small_database()) as server:
        for number in range(session.pace.rounds):
            session.say(f"beside 32 log-ins, round {number + 1} of {session.pace.rounds}")
            settle(server.pid)
            alone += send_tokens(session, server, tokens, "alone", session.pace.paced / 2).latencies
            rounds.append(measure_beside(session, server, tokens, 32))
    curves = (
        Curve("token requests, nobody logs in", tuple(alone)),
        Curve("token requests, 32 clients log in", _token_latencies(rounds)),
        Curve("log-ins of 32 clients", _log_in_latencies(rounds)),
    )
    return Findings(figures=(_p99_figure(rounds, 32),), curves=curves, notes=_notes(rounds, 32))


def measure_200(session: Session) -> Findings:
    """Measure token requests while 200 clients log in, many more than can be served."""
    rounds, tokens = [], bearers(signed_tokens(spread(USERS, TOKENS)))
    with userauth(session.small_database()) as server:
        for number in range(session.pace.rounds):
            session.say(f"beside 200 log-ins, round {number + 1} of {session.pace.rounds}")
            rounds.append(measure_beside(session, server, tokens, 200))
    refusals = Figure(
        "slowest refusal of a surplus log-in, 200 clients",
        series([each.slowest_refusal for each in rounds]),
        "s",
        mark=Mark(Sense.AT_MOST, REFUSAL_SECONDS, "s", every_round=True),
    )
    waits = Figure(
        "slowest log-in that was let in, 200 clients",
        series([each.slowest_let_in for each in rounds]),
        "s",
        mark=Mark(Sense.AT_MOST, MAX_WAIT_SECONDS, "s", every_round=True),
    )
    curves = (
        Curve("token requests, 200 clients log in", _token_latencies(rounds)),
        Curve("log-ins of 200 clients, those let in", _log_in_latencies(rounds)),
    )
    figures = (_p99_figure(rounds, 200), refusals, waits)
    return Findings(figures=figures, curves=curves, notes=_notes(rounds, 200))


def measure_beside(
    session: Session, target: Target, authorizations: Sequence[str], clients: int
) -> Beside:
    """Measure the token requests of one round while so many clients log in."""
    settle(target.pid)
    log_ins = [target.log_in_request(person) for person in password_people()]
    seconds = LEAD_SECONDS + session.pace.paced + 1.0
    plan = LogInPlan(target.port, log_ins, clients, seconds)
    what = f"{target.name}, log-ins of {clients} clients"
    with session.watched(what, target), logging_in(plan, target.name) as wait:
        time.sleep(LEAD_SECONDS)
        paced = send_tokens(
            session, target, authorizations, f"while {clients} log in", session.pace.paced
        )
        found = wait()
    session.blame(what, found.faults)
    session.say(
        f"  {what}: {len(found.let_in)} let in, {len(found.refused)} refused,"
        f" {len(found.unfinished)} without an answer"
    )
    return Beside(paced, found)


def send_tokens(
    session: Session, target: Target, authorizations: Sequence[str], when: str, seconds: float
) -> PacedFindings:
    """Send token requests at a constant rate."""
    requests = [target.user_request(value) for value in authorizations]
    plan = PacedPlan(target.port, requests, seconds)
    paced = send_paced(plan, target.name)
    what = f"{target.name}, token requests {when}"
    session.blame(what, paced.faults)
    session.say(f"  {what}: p99 {percentile(paced.latencies, 99):,.1f} ms")
    return paced


def _p99_figure(rounds: list[Beside], clients: int) -> Figure:
    return Figure(
        f"p99 of token requests (100/s) while {clients} clients log in",
        series([each.p99 for each in rounds]),
        "ms",
        mark=Mark(Sense.AT_MOST, P99_MILLISECONDS, "ms"),
    )


def _token_latencies(rounds: list[Beside]) -> tuple[float, ...]:
    return tuple(latency for each in rounds for latency in each.paced.latencies)


def _log_in_latencies(rounds: list[Beside]) -> tuple[float, ...]:
    return tuple(
        seconds * 1000
        for each in rounds
        for seconds in (*each.log_ins.let_in, *each.log_ins.unfinished)
    )


def _notes(rounds: list[Beside], clients: int) -> tuple[str, ...]:
    let_in = sum(len(each.log_ins.let_in) for each in rounds)
    refused = sum(len(each.log_ins.refused) for each in rounds)
    unfinished = sum(len(each.log_ins.unfinished) for each in rounds)
    late = percentile([value for each in rounds for value in each.paced.lateness], 99)
    raised = all(each.paced.raised_priority for each in rounds)
    priority = "at a raised priority" if raised else "at ordinary priority (raising is not allowed)"
    note = (
        f"While {clients} clients logged in, {let_in} log-ins were let in, {refused} refused with"
        f" 503 and Retry-After, and {unfinished} had no answer when the client gave up. The client"
        f" of the token requests ran {priority} and sent 99 % of them within {late:.1f} ms of"
        " their time; that delay is part of the latencies."
    )
    return (note,)
