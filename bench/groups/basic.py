"""An email address and a password on every request, compared with tokens of the same users."""

import asyncio
from collections import Counter

from bench.dataset import PASSWORD_USERS, password_credentials, signed_tokens
from bench.load.counting import OK, CountingConnection
from bench.load.wrk import Workload, write_list
from bench.processes import wait_until_idle
from bench.results import Baseline, Comparison, Figure, Goal, Results, series
from bench.run import Run, check_user
from bench.targets import Target, basic, bearers, userauth
from wiring.passwords import default_workers

CONNECTIONS = 128
NOTE = (
    "Before the load by password, each of its 50 users has sent the password once: the figure is"
    " that of returning clients."
)


def measure(run: Run) -> Results:
    """Load the server with tokens and with passwords in turn."""
    passwords = [basic(each) for each in password_credentials()]
    tokens = bearers(signed_tokens(range(1, PASSWORD_USERS + 1)))
    token_list = write_list("tokens-50", tokens)
    password_list = write_list("passwords-50", passwords)
    by_token, by_password = [], []
    with userauth(run.small_database()) as server:
        check_user(server, passwords[0], 1)
        check_user(server, tokens[0], 1)
        run.warm_up(server, authorizations=token_list)
        workloads = [Workload(server, token_list), Workload(server, password_list)]
        for number in run.rounds("basic"):
            wait_until_idle(server.pid)
            faults = asyncio.run(_send_each_once(server, passwords))
            run.record_faults("userauth, each password once", faults)
            token_load, password_load = run.compare(workloads, CONNECTIONS, number)
            by_token.append(token_load.rate)
            by_password.append(password_load.rate)
    return Results(figures=(_figure(by_token, by_password),), notes=(NOTE,))


def _figure(by_token: list[float], by_password: list[float]) -> Figure:
    return Figure(
        "throughput, email address and password on every request, 50 users, 128 connections",
        series(by_password),
        "requests/s",
        Baseline("itself by token", series(by_token)),
        Goal(Comparison.AT_LEAST, 0.5, "× by token"),
    )


async def _send_each_once(target: Target, authorizations: list[str]) -> dict[str, int]:
    """Send each password once, as many at a time as the server hashes; return the faults."""
    requests = [target.user_request(value).encode() for value in authorizations]
    outcomes: Counter[str] = Counter()

    async def client() -> None:
        connection = CountingConnection(target.port, outcomes)
        while requests:
            await connection.request(requests.pop())
        connection.close()

    await asyncio.gather(*(client() for _ in range(default_workers(processes=1))))
    del outcomes[str(OK)]
    return dict(outcomes)
