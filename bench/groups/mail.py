"""Token requests while the server sends messages to a mail relay that hangs."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import psycopg2

from bench.dataset import USERS, signed_tokens, spread
from bench.groups.beside import send_tokens
from bench.load.hanging_relay import hanging_relay
from bench.processes import wait_until_idle
from bench.results import Baseline, Comparison, Curve, Figure, Goal, Results, percentile, series
from bench.run import Run
from bench.targets import bearers, userauth

TOKENS = 2_000
MESSAGES = 1_000
MAX_RATIO = 1.1
# How many times both cases are measured twice in a round: a 99th percentile needs many requests.
SLICES = 2
_INSERT = """
INSERT INTO messages (
    id, nonce, kind, recipient, email_digest, language, created_at, expires_at, due_at, is_urgent
)
SELECT
    gen_random_uuid(), gen_random_uuid(), 'password-changed', n || '@example.com', n::text, 'en',
    now(), now() + interval '1 day', now(), false
FROM generate_series(1, %s) AS n
"""


def measure(run: Run) -> Results:
    """Measure token requests with and without a relay that hangs, in turn."""
    found = _measure_rounds(run)
    p99 = {
        hangs: series([percentile(values, 99) for values in each]) for hangs, each in found.items()
    }
    figure = Figure(
        "p99 of token requests (100/s) while the mail relay hangs",
        p99[True],
        "ms",
        baseline=Baseline("no messages", p99[False]),
        goal=Goal(Comparison.AT_MOST, MAX_RATIO, "of the p99 without messages"),
    )
    curves = (
        Curve("token requests, no messages", _joined(found[False])),
        Curve("token requests, the mail relay hangs", _joined(found[True])),
    )
    note = (
        f"{MESSAGES:,} messages are due. The relay accepts connections and messages and never"
        " replies to a message."
    )
    return Results(figures=(figure,), curves=curves, notes=(note,))


def _measure_rounds(run: Run) -> dict[bool, list[list[float]]]:
    """Return the latencies of each round, by whether the relay hangs."""
    tokens = bearers(signed_tokens(spread(USERS, TOKENS)))
    found: dict[bool, list[list[float]]] = {False: [], True: []}
    for number in run.rounds("mail"):
        latencies: dict[bool, list[float]] = {False: [], True: []}
        # So that a change in the speed of the machine does not favor one of them.
        order = (True, False, False, True) if number % 2 else (False, True, True, False)
        for hangs in order * SLICES:
            latencies[hangs] += _latencies(run, tokens, hangs=hangs)
        for hangs, values in latencies.items():
            found[hangs].append(values)
    return found


def _latencies(run: Run, tokens: Sequence[str], *, hangs: bool) -> list[float]:
    """Return the latencies of one round in milliseconds."""
    url = run.small_database()
    name = "userauth, hanging relay" if hangs else "userauth, no messages"
    with hanging_relay() as relay, due_messages(url if hangs else ""):
        variables = {
            "USERAUTH_MAIL__URL": relay if hangs else "",
            "USERAUTH_MAIL__FROM": "no-reply@example.com",
            "USERAUTH_SERVER__PUBLIC_URL": "https://auth.example.com",
        }
        with userauth(url, "mail", **variables) as server:
            # In both cases, the work of the start is then done.
            wait_until_idle(server.pid)
            run.warm_up(server, authorizations=run.token_list())
            with run.watching_noise(name):
                paced = send_tokens(run, server, tokens, name, run.schedule.paced / 2)
    return paced.latencies


@contextmanager
def due_messages(database_url: str) -> Iterator[None]:
    """Store messages that are due for the duration of the block, if a database is named."""
    if not database_url:
        yield
        return
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, (MESSAGES,))
            try:
                yield
            finally:
                cursor.execute("DELETE FROM messages")


def _joined(rounds: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(latency for each in rounds for latency in each)
