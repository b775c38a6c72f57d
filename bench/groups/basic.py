"""E-mail and password on every request, against tokens of the same users."""

import asyncio
import os
from collections import Counter

from bench.findings import Figure, Findings, Limit, Mark, Sense, series
from bench.load.connection import GOOD, Connection
from bench.load.wrk import write_list
from bench.people import PASSWORD_USERS, password_people, signed_tokens
from bench.processes import settle
from bench.session import Session, check_user
from bench.targets import Target, basic, bearers, userauth

CONNECTIONS = 128


def measure(session: Session) -> Findings:
    """Load the server with tokens and with passwords in turn."""
    passwords = [basic(person) for person in password_people()]
    tokens = bearers(signed_tokens(range(1, PASSWORD_USERS + 1)))
    password_list = write_list("passwords-50", passwords)
    token_list = write_list("tokens-50", tokens)
    by_password, by_token = [], []
    with userauth(session.small_database()) as server:
        check_user(server, passwords[0], 1)
        check_user(server, tokens[0], 1)
        session.warm_up(server, authorizations=token_list)
        for number in range(session.pace.rounds):
            session.say(f"basic, round {number + 1} of {session.pace.rounds}")
            settle(server.pid)
            first = asyncio.run(_present_once(server, passwords))
            session.blame("userauth, each password once", first)
            pairs = [(server, token_list), (server, password_list)]
            by_token_load, by_password_load = session.compare(pairs, CONNECTIONS, number)
            by_token.append(by_token_load.rate)
            by_password.append(by_password_load.rate)
    figure = Figure(
        "throughput, e-mail and password on every request, 50 users, 128 connections",
        series(by_password),
        "requests/s",
        Limit("itself by token", series(by_token)),
        Mark(Sense.AT_LEAST, 0.5, "× by token"),
    )
    note = (
        "Before the load by password each of its 50 users has presented the password once: the"
        " figure is that of clients who come again and again."
    )
    return Findings(figures=(figure,), notes=(note,))


async def _present_once(target: Target, authorizations: list[str]) -> dict[str, int]:
    """Present each password once, as many at a time as can be hashed; return what went wrong."""
    requests = [target.user_request(value).encode() for value in authorizations]
    faults: Counter[str] = Counter()

    async def client() -> None:
        connection = Connection(target.port)
        while requests:
            answer = await connection.ask(requests.pop())
            if answer.status != GOOD:
                faults[str(answer.status)] += 1
        connection.close()

    await asyncio.gather(*(client() for _ in range(os.cpu_count() or 1)))
    return dict(faults)
