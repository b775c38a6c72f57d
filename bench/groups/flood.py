"""Token requests, 100 a second, while one address sends wrong passwords as fast as it can."""

from concurrent.futures import ThreadPoolExecutor

from bench.findings import Curve, Figure, Findings, Mark, Sense, percentile, series
from bench.groups.beside import P99_MILLISECONDS, TOKENS, send_tokens
from bench.load.wrk import run_wrk, write_list
from bench.people import USERS, Person, email, signed_tokens, spread
from bench.processes import settle
from bench.session import Session
from bench.targets import basic, bearers, userauth

CONNECTIONS = 32
ACCOUNTS = 1_000
# What a wrong password is told: that it is wrong, that there were too many, or that too many
# wait to be looked at.
EXPECTED = {"401", "429", "503"}


def measure(session: Session) -> Findings:
    """Measure token requests beside a flood, and how many of it are turned away a second."""
    tokens = bearers(signed_tokens(spread(USERS, TOKENS)))
    guesses = [basic(Person(email(number), "a wrong guess")) for number in range(1, ACCOUNTS + 1)]
    file = write_list("guesses", guesses)
    latencies, rates = [], []
    with userauth(session.small_database()) as server, ThreadPoolExecutor(1) as flooding:
        seconds = round(session.pace.paced)
        # Until the address has used up what it may.
        run_wrk(server, file, connections=CONNECTIONS, seconds=60)
        for number in range(session.pace.rounds):
            session.say(f"flood, round {number + 1} of {session.pace.rounds}")
            settle(server.pid)
            flood = flooding.submit(run_wrk, server, file, connections=CONNECTIONS, seconds=seconds)
            paced = send_tokens(session, server, tokens, "beside a flood", seconds - 1)
            load = flood.result()
            session.blame(
                "flood",
                {status: count for status, count in load.faults.items() if status not in EXPECTED},
            )
            latencies.append(paced.latencies)
            rates.append(load.rate)
    session.forget_failures()
    figures = (
        Figure(
            f"p99 of token requests (100/s) beside a flood of wrong passwords, {CONNECTIONS}"
            " connections",
            series([percentile(each, 99) for each in latencies]),
            "ms",
            mark=Mark(Sense.AT_MOST, P99_MILLISECONDS, "ms"),
        ),
        Figure("wrong passwords turned away", series(rates), "requests/s"),
    )
    return Findings(
        figures=figures,
        curves=(
            Curve(
                "token requests, a flood of wrong passwords",
                tuple(latency for each in latencies for latency in each),
            ),
        ),
    )
