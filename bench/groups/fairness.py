"""Honest log-ins, one every two seconds, beside four floods of 40 connections each.

The server believes the addresses in X-Forwarded-For: everybody comes from where they say.
"""

import ipaddress
import random
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.findings import Figure, Findings, Mark, Sense, percentile, series
from bench.groups.beside import LEAD_SECONDS, P99_MILLISECONDS, TOKENS, send_tokens
from bench.load.contest import INTERVAL_SECONDS, ContestFindings, ContestPlan, contest
from bench.load.paced import PacedFindings
from bench.people import USERS, Person, password_people, signed_tokens, spread
from bench.processes import BenchError, settle
from bench.session import Session
from bench.targets import Target, basic, bearers, userauth

CONNECTIONS = 40
SUCCESS_PERCENT = 95
HOME, CROWD = "198.51.100.7", "203.0.113.9"
# Its password is replaced: no user of the other groups.
REPLACED_USER = 90_000
GUESSES = 20_000
_NETWORK = ipaddress.IPv6Network("2001:db8:5::/48")


@dataclass(frozen=True)
class Flood:
    """What the crowd sends, and from where the honest user comes each time."""

    name: str
    crowd: Callable[[Target], list[str]]
    honest_addresses: Callable[[int], list[str]] = lambda count: [HOME] * count


def measure(session: Session) -> Findings:
    """Measure the honest log-ins, and token requests, beside each flood."""
    honest = password_people()[0]
    tokens = bearers(signed_tokens(spread(USERS, TOKENS)))
    findings = Findings()
    trusting = {"USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1"}
    with userauth(session.small_database(), "fairness", **trusting) as server:
        for flood in FLOODS:
            session.say(f"fairness, {flood.name}")
            session.forget_failures()
            _log_in_at_home(server, honest)
            settle(server.pid)
            findings += _measure_beside(session, server, honest, tokens, flood)
    session.forget_failures()
    return findings


def _log_in_at_home(server: Target, honest: Person) -> None:
    """Log in from where the honest user comes, so that it is known there."""
    headers = {"Authorization": basic(honest), "X-Forwarded-For": HOME}
    url = f"{server.user_url}/login"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - 127.0.0.1
    try:
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
    except OSError as error:
        raise BenchError(f"The first log-in failed: {error}") from error


def _measure_beside(
    session: Session, server: Target, honest: Person, tokens: Sequence[str], flood: Flood
) -> Findings:
    addresses = flood.honest_addresses(session.pace.honest)
    log_ins = [server.log_in_request(honest, address) for address in addresses]
    plan = ContestPlan(server.port, log_ins, flood.crowd(server), CONNECTIONS, LEAD_SECONDS)
    seconds = len(log_ins) * INTERVAL_SECONDS - 1
    with session.watched(flood.name, server), contest(plan, server.name) as wait:
        time.sleep(LEAD_SECONDS)
        paced = send_tokens(session, server, tokens, f"beside {flood.name}", seconds)
        found = wait()
    session.blame(flood.name, found.faults)
    session.say(
        f"  {flood.name}: {len(found.successes)} of {len(log_ins)} honest log-ins succeeded"
    )
    return Findings(figures=_figures(flood, paced, found), notes=(_note(flood, found),))


def _figures(flood: Flood, paced: PacedFindings, found: ContestFindings) -> tuple[Figure, Figure]:
    return (
        Figure(
            f"honest log-ins that succeed within 10 s, of 100, beside {flood.name}",
            series([found.percent]),
            "%",
            mark=Mark(Sense.AT_LEAST, SUCCESS_PERCENT, "%"),
        ),
        Figure(
            f"p99 of token requests (100/s) beside {flood.name}",
            series([percentile(paced.latencies, 99)]),
            "ms",
            mark=Mark(Sense.AT_MOST, P99_MILLISECONDS, "ms"),
        ),
    )


def _note(flood: Flood, found: ContestFindings) -> str:
    took = "no honest log-in succeeded"
    if found.successes:
        took = (
            f"an honest log-in that succeeded took {percentile(found.successes, 50):.1f} s at the"
            f" median and {max(found.successes):.1f} s at most"
        )
    rates = ", ".join(
        f"{status} {count / found.crowd_seconds:,.1f}/s"
        for status, count in sorted(found.crowd_statuses.items())
    )
    return f"Beside {flood.name}, {took}; the flood was answered: {rates}."


def _changes(target: Target) -> list[str]:
    (token,) = bearers(signed_tokens([REPLACED_USER]))
    return [target.new_password_request(token, f"a new password {n}", CROWD) for n in range(10)]


def _right_passwords(target: Target) -> list[str]:
    return [target.log_in_request(password_people()[1], CROWD)]


def _guesses(address: Callable[[random.Random], str]) -> Callable[[Target], list[str]]:
    def guess(target: Target) -> list[str]:
        chance = random.Random(GUESSES)  # noqa: S311 - no secret
        return [
            target.log_in_request(
                Person(f"guess{chance.getrandbits(40)}@example.com", "a wrong guess"),
                address(chance),
            )
            for _ in range(GUESSES)
        ]

    return guess


def _from_anywhere(chance: random.Random) -> str:
    if chance.getrandbits(1):
        return str(
            ipaddress.IPv4Address(f"{chance.randint(11, 99)}.0.0.0") + chance.getrandbits(24)
        )
    return str(ipaddress.IPv6Address((0x2400 << 112) + (chance.getrandbits(32) << 80) + 1))


def _from_one_network(chance: random.Random) -> str:
    return str(_NETWORK[(chance.getrandbits(16) << 64) + chance.getrandbits(32)])


def _new_addresses(count: int) -> list[str]:
    return [f"192.0.2.{number}" for number in range(1, count + 1)]


FLOODS = (
    Flood("40 connections that change one password by one token", _changes),
    Flood("40 connections that log in with one right password", _right_passwords),
    Flood("40 connections of wrong passwords from anywhere", _guesses(_from_anywhere)),
    Flood("40 connections of wrong passwords from one /48", _guesses(_from_one_network)),
    Flood(
        "40 connections of wrong passwords from anywhere, the honest user always in a new network",
        _guesses(_from_anywhere),
        _new_addresses,
    ),
)
