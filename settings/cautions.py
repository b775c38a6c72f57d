"""What settings allow and production seldom means: told to the operator, and not refused."""

from collections.abc import Iterator
from itertools import chain

from settings.exposure import is_loopback, sslmode_over_network
from settings.model import Profile, Settings

# Beyond these, a count hinders nobody who guesses.
_MOST_FAILURES = {
    "pair_failures": 100,
    "account_failures": 1_000,
    "address_failures": 10_000,
    "registrations": 10_000,
}
_LEAST_DELAY_SECONDS = 60
_MOST_LIFETIME_SECONDS = 30 * 86_400


def cautions(settings: Settings) -> tuple[str, ...]:
    """Return what an operator should know of the settings, a line each; in production only."""
    if settings.profile is not Profile.PRODUCTION:
        return ()
    return tuple(chain(_of_the_network(settings), _of_passwords(settings), _of_others(settings)))


def _of_the_network(settings: Settings) -> Iterator[str]:
    server, metrics = settings.server, settings.metrics
    if not (server.require_https or server.certificate or is_loopback(server.host)):
        yield (
            f"server.require_https = false, with server.host = {_shown(server.host)}: passwords and"
            " tokens are accepted in clear text over the network"
        )
    if metrics.port and not is_loopback(metrics.host):
        yield (
            f"metrics.host = {_shown(metrics.host)}: whoever reaches the port reads the metrics,"
            " without credentials"
        )
    match sslmode_over_network(settings.database.url.get_secret_value()):
        case "disable":
            yield "database.url has sslmode=disable: all goes to Postgres in clear text"
        case "require":
            yield (
                "database.url has sslmode=require: no certificate is checked, so somebody between"
                " here and Postgres can take its place; use verify-full"
            )


def _of_passwords(settings: Settings) -> Iterator[str]:
    throttle = settings.throttle
    for name, most in _MOST_FAILURES.items():
        if (value := getattr(throttle, name)) > most:
            yield f"throttle.{name} = {value}: more than {most} hinder nobody who guesses"
    if throttle.longest_delay_seconds < _LEAST_DELAY_SECONDS:
        yield (
            f"throttle.longest_delay_seconds = {throttle.longest_delay_seconds:g}: waits of less"
            f" than {_LEAST_DELAY_SECONDS} s hinder nobody who guesses"
        )
    if throttle.forget_seconds < throttle.longest_delay_seconds:
        yield (
            f"throttle.forget_seconds = {throttle.forget_seconds}: counts are forgotten before the"
            " longest wait, throttle.longest_delay_seconds, is over"
        )
    if not settings.passwords.refuse_common:
        yield "passwords.refuse_common = false: the most common passwords are accepted"


def _of_others(settings: Settings) -> Iterator[str]:
    if settings.tokens.lifetime_seconds > _MOST_LIFETIME_SECONDS:
        yield (
            f"tokens.lifetime_seconds = {settings.tokens.lifetime_seconds}: a token is good for"
            " more than 30 days, the most that NIST SP 800-63B-4 recommends"
        )
    if "*" in settings.cors.origins:
        yield 'cors.origins = ["*"]: the pages of every site may call the API'
    if settings.docs.enabled:
        yield "docs.enabled = true: /openapi.json and /docs are read without credentials"


def _shown(text: str) -> str:
    return f'"{text}"' if text.isprintable() else ascii(text)
