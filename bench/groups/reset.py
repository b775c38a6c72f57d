"""Whether the time of a request to reset a password reveals that an email address is registered."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median
from tempfile import TemporaryDirectory

import psycopg2

from bench.dataset import USERS, email
from bench.order import shuffled
from bench.processes import wait_until_idle
from bench.results import Baseline, Comparison, Figure, Goal, Results, series
from bench.run import FULL, QUICK, Run
from bench.targets import Target, userauth

ACCEPTED = 202
# Requests of each kind per round, by schedule; 500 in all rounds of the full one.
REQUESTS = {QUICK.name: 50, FULL.name: 100}
WARM_UP = 50
MAX_RATIO = 1.03
_PATH = "/api/user/password/reset"
LIMITS = {
    "USERAUTH_MAIL__NETWORK_PER_HOUR": "1000000",
    "USERAUTH_MAIL__RECIPIENT_PER_HOUR": "1000000",
    "USERAUTH_MAIL__PER_MINUTE": "1000000",
}


def measure(run: Run) -> Results:
    """Measure requests for known and for unknown addresses, in random order."""
    times: dict[bool, list[list[float]]] = {True: [], False: []}
    with sending_server(run) as server:
        _send(run, server, [(False, n) for n in range(WARM_UP)], number=-1)
        wait_until_idle(server.pid)
        for number in run.rounds("reset"):
            each = REQUESTS[run.schedule.name]
            requests = [(is_known, n) for is_known in (True, False) for n in range(each)]
            # The message to a known address is sent during the next request, whatever it is for.
            order = shuffled(requests, number)
            for is_known, durations in _send(run, server, order, number).items():
                times[is_known].append(durations)
    known, unknown = ([median(each) for each in times[is_known]] for is_known in (True, False))
    figure = Figure(
        "request to reset a password, registered email address",
        series(known),
        "ms",
        baseline=Baseline("unknown email address", series(unknown)),
        goal=Goal(Comparison.AT_MOST, MAX_RATIO, "× unknown"),
    )
    return Results(figures=(figure,))


@contextmanager
def sending_server(run: Run) -> Iterator[Target]:
    """Run a server that writes messages to a folder; delete the messages in its database."""
    url = run.small_database()
    with TemporaryDirectory(prefix="userauth-bench-") as folder:
        variables = {
            "USERAUTH_MAIL__URL": f"folder:{folder}/mail",
            "USERAUTH_MAIL__FROM": "no-reply@example.com",
            "USERAUTH_SERVER__PUBLIC_URL": "https://auth.example.com",
        }
        try:
            with userauth(url, "reset", **LIMITS, **variables) as server:
                yield server
        finally:
            with closing(psycopg2.connect(url)) as connection, connection:
                connection.cursor().execute("DELETE FROM messages")


def _send(
    run: Run, server: Target, requests: list[tuple[bool, int]], number: int
) -> dict[bool, list[float]]:
    """Send requests one after another; return their durations in milliseconds."""
    times: dict[bool, list[float]] = {True: [], False: []}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        for is_known, n in requests:
            user = (number * 1_000 + n) % USERS + 1
            # With the same length as a known address.
            address = email(user) if is_known else email(user).replace("user", "none")
            body = json.dumps({"email": address})
            began = time.perf_counter()
            connection.request("POST", _PATH, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            times[is_known].append((time.perf_counter() - began) * 1000)
            if response.status != ACCEPTED:
                run.record_faults("reset", {str(response.status): 1})
    return times
