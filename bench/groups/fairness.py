"""Logins of an honest user, one every two seconds, during attacks on 40 connections.

The server trusts X-Forwarded-For, which gives every client its IP address.
"""

import ipaddress
import random
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.dataset import (
    USERS,
    Credentials,
    password_credentials,
    signed_tokens,
    spread,
)
from bench.groups.beside import LEAD_SECONDS, P99_MILLISECONDS, TOKENS, send_tokens
from bench.load.contest import INTERVAL_SECONDS, ContestPlan, ContestResults, contest
from bench.load.paced import PacedResults
from bench.processes import BenchError, wait_until_idle
from bench.results import Comparison, Figure, Goal, Results, percentile, series
from bench.run import Run
from bench.targets import Target, basic, bearers, userauth

CONNECTIONS = 40
SUCCESS_PERCENT = 95
HOME, ATTACKER = "198.51.100.7", "203.0.113.9"
# A user that no other group uses, since the password changes.
CHANGED_USER = 90_000
GUESSES = 20_000
_NETWORK = ipaddress.IPv6Network("2001:db8:5::/48")


@dataclass(frozen=True)
class Attack:
    """The requests of the attackers, and the IP addresses of the honest user's logins."""

    name: str
    requests: Callable[[Target], list[str]]
    honest_addresses: Callable[[int], list[str]] = lambda count: [HOME] * count


def measure(run: Run) -> Results:
    """Measure honest logins, and token requests, during each attack."""
    honest = password_credentials()[0]
    tokens = bearers(signed_tokens(spread(USERS, TOKENS)))
    results = Results()
    trusting = {"USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1"}
    with userauth(run.small_database(), "fairness", **trusting) as server:
        for attack in ATTACKS:
            run.report(f"fairness, {attack.name}")
            run.reset_throttle()
            _log_in_at_home(server, honest)
            wait_until_idle(server.pid)
            results += _measure_beside(run, server, honest, tokens, attack)
    run.reset_throttle()
    return results


def _log_in_at_home(server: Target, honest: Credentials) -> None:
    """Log in from the honest user's network, so that the server trusts it."""
    headers = {"Authorization": basic(honest), "X-Forwarded-For": HOME}
    url = f"{server.user_url}/login"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - 127.0.0.1
    try:
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
    except OSError as error:
        raise BenchError(f"The first login failed: {error}") from error


def _measure_beside(
    run: Run, server: Target, honest: Credentials, tokens: Sequence[str], attack: Attack
) -> Results:
    addresses = attack.honest_addresses(run.schedule.honest)
    logins = [server.login_request(honest, address) for address in addresses]
    plan = ContestPlan(server.port, logins, attack.requests(server), CONNECTIONS, LEAD_SECONDS)
    seconds = len(logins) * INTERVAL_SECONDS - 1
    with run.watching_noise(attack.name), contest(plan, server.name) as wait:
        time.sleep(LEAD_SECONDS)
        paced = send_tokens(run, server, tokens, f"beside {attack.name}", seconds)
        results = wait()
    run.record_faults(attack.name, results.faults)
    run.report(
        f"  {attack.name}: {len(results.successes)} of {len(logins)} honest logins succeeded"
    )
    return Results(figures=_figures(attack, paced, results), notes=(_note(attack, results),))


def _figures(attack: Attack, paced: PacedResults, results: ContestResults) -> tuple[Figure, Figure]:
    return (
        Figure(
            f"honest logins that succeed within 10 s, beside {attack.name}",
            series([results.percent]),
            "%",
            goal=Goal(Comparison.AT_LEAST, SUCCESS_PERCENT, "%"),
        ),
        Figure(
            f"p99 of token requests (100/s) beside {attack.name}",
            series([percentile(paced.latencies, 99)]),
            "ms",
            goal=Goal(Comparison.AT_MOST, P99_MILLISECONDS, "ms"),
        ),
    )


def _note(attack: Attack, results: ContestResults) -> str:
    took = "no honest login succeeded"
    if results.successes:
        took = (
            f"a successful honest login took {percentile(results.successes, 50):.1f} s at the"
            f" median and {max(results.successes):.1f} s at most"
        )
    rates = ", ".join(
        f"{outcome} {count / results.attack_seconds:,.1f}/s"
        for outcome, count in sorted(results.attack_outcomes.items())
    )
    return f"Beside {attack.name}, {took}; the responses to the attack were: {rates}."


def _changes(target: Target) -> list[str]:
    (token,) = bearers(signed_tokens([CHANGED_USER]))
    return [target.new_password_request(token, f"a new password {n}", ATTACKER) for n in range(10)]


def _correct_passwords(target: Target) -> list[str]:
    return [target.login_request(password_credentials()[1], ATTACKER)]


def _guesses(address: Callable[[random.Random], str]) -> Callable[[Target], list[str]]:
    def guess(target: Target) -> list[str]:
        generator = random.Random(GUESSES)
        return [
            target.login_request(
                Credentials(f"guess{generator.getrandbits(40)}@example.com", "a wrong guess"),
                address(generator),
            )
            for _ in range(GUESSES)
        ]

    return guess


def _from_anywhere(generator: random.Random) -> str:
    if generator.getrandbits(1):
        return str(
            ipaddress.IPv4Address(f"{generator.randint(11, 99)}.0.0.0") + generator.getrandbits(24)
        )
    return str(ipaddress.IPv6Address((0x2400 << 112) + (generator.getrandbits(32) << 80) + 1))


def _from_one_network(generator: random.Random) -> str:
    return str(_NETWORK[(generator.getrandbits(16) << 64) + generator.getrandbits(32)])


def _new_addresses(count: int) -> list[str]:
    return [f"192.0.2.{number}" for number in range(1, count + 1)]


ATTACKS = (
    Attack("40 connections that change one password by one token", _changes),
    Attack("40 connections that log in with one correct password", _correct_passwords),
    Attack("40 connections of wrong passwords from anywhere", _guesses(_from_anywhere)),
    Attack("40 connections of wrong passwords from one /48", _guesses(_from_one_network)),
    Attack(
        "40 connections of wrong passwords from anywhere, the honest user always in a new network",
        _guesses(_from_anywhere),
        _new_addresses,
    ),
)
