"""Warnings about settings that are valid, but seldom intended in production."""

from collections.abc import Iterator
from itertools import chain

from pydantic import SecretStr

from settings.choices import Pooler
from settings.database_url import sslmode_over_network
from settings.exposure import is_loopback
from settings.model import Settings
from settings.profiles import Profile

# Higher limits do not stop an attacker who guesses passwords.
_MAX_FAILURES = {
    "pair_failures": 100,
    "account_failures": 1_000,
    "address_failures": 10_000,
    "registrations": 10_000,
}
_MIN_DELAY_SECONDS = 60
_MAX_LIFETIME_SECONDS = 30 * 86_400


def cautions(settings: Settings) -> tuple[str, ...]:
    """Return the warnings, a line each; outside production only those about names."""
    if settings.profile is not Profile.PRODUCTION:
        return tuple(settings.warnings)
    return (*settings.warnings, *chain.from_iterable(each(settings) for each in _CHECKS))


def _network(settings: Settings) -> Iterator[str]:
    server, metrics = settings.server, settings.metrics
    if not (server.require_https or server.certificate or is_loopback(server.host)):
        yield (
            f"server.require_https = false, with server.host = {_shown(server.host)}: passwords and"
            " tokens are accepted in clear text over the network"
        )
    if metrics.port and not is_loopback(metrics.host):
        yield (
            f"metrics.host = {_shown(metrics.host)}: any program that reaches the port can read the"
            " metrics without credentials"
        )
    for name in ("url", "direct_url"):
        yield from _clear_text(f"database.{name}", getattr(settings.database, name))


def _clear_text(name: str, url: SecretStr) -> Iterator[str]:
    match sslmode_over_network(url.get_secret_value()):
        case "disable":
            yield f"{name} has sslmode=disable: the connection to Postgres is not encrypted"
        case "require":
            yield (
                f"{name} has sslmode=require: no certificate is checked, so another machine on the"
                " network can impersonate Postgres; use verify-full"
            )


def _pooler(settings: Settings) -> Iterator[str]:
    database = settings.database
    if database.direct_url and database.pooler is Pooler.NONE:
        yield (
            'database.pooler = "none", although database.direct_url is set: only migrations, checks'
            " and commands use that URL; set the mode of the pooler, or remove the URL"
        )


def _passwords(settings: Settings) -> Iterator[str]:
    throttle = settings.throttle
    for name, limit in _MAX_FAILURES.items():
        if (value := getattr(throttle, name)) > limit:
            yield f"throttle.{name} = {value}: more than {limit} does not stop password guessing"
    if throttle.longest_delay_seconds < _MIN_DELAY_SECONDS:
        yield (
            f"throttle.longest_delay_seconds = {throttle.longest_delay_seconds:g}: a delay of less"
            f" than {_MIN_DELAY_SECONDS} s does not stop password guessing"
        )
    if throttle.forget_seconds < throttle.longest_delay_seconds:
        yield (
            f"throttle.forget_seconds = {throttle.forget_seconds}: counts expire before the longest"
            " delay, throttle.longest_delay_seconds, ends"
        )
    if not settings.passwords.refuse_common:
        yield "passwords.refuse_common = false: the most common passwords are accepted"


def _api(settings: Settings) -> Iterator[str]:
    if settings.tokens.lifetime_seconds > _MAX_LIFETIME_SECONDS:
        yield (
            f"tokens.lifetime_seconds = {settings.tokens.lifetime_seconds}: a token is valid for"
            " more than 30 days, the maximum that NIST SP 800-63B-4 recommends"
        )
    if "*" in settings.cors.origins:
        yield 'cors.origins = ["*"]: pages of every site may call the API'
    if settings.pages.enabled and not settings.serves_pages:
        yield (
            "server.public_url is not set, so the pages for people are not served: set it, or"
            " pages.enabled = false"
        )
    if settings.docs.enabled:
        yield "docs.enabled = true: /openapi.json and /docs can be read without credentials"


def _processes(settings: Settings) -> Iterator[str]:
    server, metrics = settings.server, settings.metrics
    if server.instance > server.processes:
        # Not an error: after the number is lowered, a process runs until the proxy no longer uses
        # it.
        yield (
            f"server.instance = {server.instance}: server.processes = {server.processes} does not"
            " count this process"
        )
    # A process with the number 0 may run beside the others for a while.
    is_near = abs(metrics.port - server.port) <= server.processes
    if server.processes > 1 and server.port and metrics.port and is_near:
        yield (
            f"metrics.port = {metrics.port}: with the number of a process added, it can be the port"
            f" of another one: choose one that is more than {server.processes} away from"
            f" server.port = {server.port}"
        )


_CHECKS = (_network, _pooler, _passwords, _api, _processes)


def _shown(text: str) -> str:
    return f'"{text}"' if text.isprintable() else ascii(text)
