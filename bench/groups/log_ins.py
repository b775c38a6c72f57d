"""Log-ins, against what the machine can hash."""

from bench.findings import Figure, Findings, Limit, Mark, Sense, series
from bench.load.hashing import measure_hashing
from bench.load.log_ins import LogInPlan, logging_in
from bench.people import password_people
from bench.processes import settle
from bench.recipes import BCRYPT_COST
from bench.session import Session
from bench.targets import Target, userauth

CLIENTS = 32


def measure(session: Session) -> Findings:
    """Let 32 clients log in, and bcrypt alone, in turn."""
    hashes, log_ins = [], []
    refused = 0
    with userauth(session.small_database()) as server:
        for number in range(session.pace.rounds):
            session.say(f"log-ins, round {number + 1} of {session.pace.rounds}")
            settle(server.pid)
            # Half of it before and half behind, as the machine becomes slower or faster.
            before = _hash(session)
            rate, turned_away = _log_in(session, server)
            settle(server.pid)
            hashes.append((before + _hash(session)) / 2)
            log_ins.append(rate)
            refused += turned_away
    figure = Figure(
        "log-ins, 32 clients, cost 12",
        series(log_ins),
        "log-ins/s",
        Limit("bcrypt", series(hashes)),
        Mark(Sense.AT_LEAST, 0.95, "× bcrypt"),
    )
    note = f"32 clients that log in were refused with 503 and Retry-After {refused} times."
    return Findings(figures=(figure,), notes=(note,) if refused else ())


def _hash(session: Session) -> float:
    rate = measure_hashing(BCRYPT_COST, session.pace.hashing / 2)
    session.say(f"  bcrypt: {rate:.2f}/s")
    return rate


def _log_in(session: Session, server: Target) -> tuple[float, int]:
    requests = [server.log_in_request(person) for person in password_people()]
    plan = LogInPlan(server.port, requests, CLIENTS, session.pace.hashing)
    what = f"{server.name}, log-ins of {CLIENTS} clients"
    with session.watched(what, server), logging_in(plan, server.name) as wait:
        found = wait()
    session.blame(what, found.faults)
    session.say(f"  {server.name}: {found.rate:.2f}/s, {len(found.refused)} refused")
    return found.rate, len(found.refused)
