"""Types of fields whose values have to meet rules in addition to a type and bounds.

A ValueError completes the line "section.key = value (origin): …" that the administrator reads.
"""

import re
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from settings.choices import Reads
from settings.database_url import ENCRYPTED, check_database_url, sslmode_over_network
from settings.exposure import includes_callers
from settings.profiles import Profile
from settings.secret_strength import is_guessable

# The values of database.url that select the embedded Postgres.
EMBEDDED = frozenset({"", "embedded"})
HOW_TO_MAKE_A_KEY = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
# As browsers send it (RFC 6454): in lower case, a name in ASCII, not the default port.
_ORIGIN = re.compile(
    r"(http(?!.*:80$)|https(?!.*:443$))://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?"
)


class Context(NamedTuple):
    """The context of a check, in addition to the value.

    Relative paths start at ``directory``; ``warnings`` are about names of settings.
    """

    profile: Profile
    directory: Path
    # Whether tokens are signed and verified: a backup works without the keys.
    needs_keys: bool = True
    warnings: Sequence[str] = ()
    # Whether the values include variables: other profiles are checked without them.
    is_complete: bool = True


Info = ValidationInfo[Context]


def _path(value: object, info: Info) -> object:
    if value == "":
        return None
    return info.context.directory / value if isinstance(value, str | Path) else value


def _database_url(url: SecretStr, info: Info) -> SecretStr:
    """Reject a URL that does not lead to a primary, without quoting any part of it."""
    if not url and info.context.profile is Profile.PRODUCTION:
        raise ValueError(
            "set DATABASE_URL=postgresql://… or DATABASE_URL=embedded (not in the container image)"
        )
    if url.get_secret_value() in EMBEDDED:
        return url
    return _url_of_primary(url, info)


def _url_of_primary(url: SecretStr, info: Info, *, may_be_embedded: bool = True) -> SecretStr:
    check_database_url(url.get_secret_value(), may_be_embedded=may_be_embedded)
    if info.context.profile is Profile.PRODUCTION:
        _reject_silent_clear_text(sslmode_over_network(url.get_secret_value()))
    return url


def _direct_url(url: SecretStr, info: Info) -> SecretStr:
    if not url:
        return url
    if info.context.is_complete and info.data.get("url", url).get_secret_value() in EMBEDDED:
        raise ValueError("must be empty: the server connects to the embedded Postgres directly")
    return _url_of_primary(url, info, may_be_embedded=False)


def _reject_silent_clear_text(sslmode: str | None) -> None:
    """Reject an sslmode that lets libpq silently fall back to clear text."""
    if sslmode is not None and sslmode not in ENCRYPTED | {"disable"}:
        raise ValueError(
            "add ?sslmode=verify-full&sslrootcert=FILE, or sslmode=require, which checks no"
            " certificate: otherwise libpq sends the password in clear text to a server that"
            " offers no TLS; sslmode=disable chooses clear text"
        )


def _pool_max(pool_max: int, info: Info) -> int:
    if pool_max < info.data.get("pool_min", pool_max):
        raise ValueError(f"must be at least database.pool_min, which is {info.data['pool_min']}")
    return pool_max


def _reads(reads: Reads, info: Info) -> Reads:
    url = info.data.get("url")
    if reads is Reads.ACKNOWLEDGED and url is not None and url.get_secret_value() in EMBEDDED:
        raise ValueError("needs a synchronous standby, which the embedded Postgres does not have")
    return reads


def _keys(keys: tuple[SecretStr, ...], info: Info) -> tuple[SecretStr, ...]:
    _check_secrets(keys, "key", info)
    has_none = not keys and info.data.get("keys_file", ...) is None
    if has_none and info.context.needs_keys and info.context.profile is Profile.PRODUCTION:
        raise ValueError("set SECRET_KEYS to a random text of at least 32 characters")
    return keys


def _peppers(peppers: tuple[SecretStr, ...], info: Info) -> tuple[SecretStr, ...]:
    _check_secrets(peppers, "pepper", info)
    return peppers


def _check_secrets(secrets: tuple[SecretStr, ...], what: str, info: Info) -> None:
    if any(not secret.get_secret_value().isprintable() for secret in secrets):
        raise ValueError("must contain printable characters only")
    if len(set(secrets)) < len(secrets):
        raise ValueError(f"must not contain the same {what} twice")
    is_production = info.context.profile is Profile.PRODUCTION
    if is_production and any(is_guessable(secret.get_secret_value()) for secret in secrets):
        raise ValueError(f"contains a {what} that can be guessed; {HOW_TO_MAKE_A_KEY}")


def _networks(networks: tuple[str, ...], info: Info) -> tuple[str, ...]:
    for network in networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise ValueError(f"must contain networks, such as 10.0.0.0/8: {error}") from None
        if info.context.profile is Profile.PRODUCTION and includes_callers(network):
            raise ValueError(
                f"{network} includes callers, which could choose their own IP address: name your"
                " proxies (in production at least a /8 of IPv4, a /16 of IPv6)"
            )
    return networks


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins and len(origins) > 1:
        raise ValueError('must contain either "*" or origins')
    # As copied from the address bar of a browser.
    origins = tuple(origin.removesuffix("/") for origin in origins)
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(
                "must contain origins as browsers send them, such as https://app.example.com: in"
                " lower case, without a path and without the default port"
            )
    return origins


def _public_url(url: str, info: Info) -> str:
    if not url:
        return url
    if not _ORIGIN.fullmatch(url):
        raise ValueError(
            "must be an origin, such as https://auth.example.com: in lower case, without a path,"
            " a slash at the end and the default port"
        )
    if info.context.profile is Profile.PRODUCTION and not url.startswith("https:"):
        raise ValueError("must begin with https:// in production")
    return url


def _private_key(private_key: Path | None, info: Info) -> Path | None:
    if (private_key is None) != (info.data.get("certificate") is None):
        raise ValueError("must be set together with server.certificate, or neither")
    return private_key


def _require_https(require_https: bool, info: Info) -> bool:  # noqa: FBT001 - pydantic's signature
    is_possible = info.data.get("certificate") or info.data.get("trusted_proxies", ...)
    if require_https and not is_possible and info.context.is_complete:
        raise ValueError(
            "no request could arrive over HTTPS: set server.certificate, or name the proxy that"
            " terminates TLS in server.trusted_proxies"
        )
    return require_https


def in_production(*, minimum: int | None = None, maximum: int | None = None) -> AfterValidator:
    """Return bounds that apply in production only."""

    def check(value: int, info: Info) -> int:
        if info.context.profile is Profile.PRODUCTION:
            if minimum is not None and value < minimum:
                raise ValueError(f"must be at least {minimum} in production")
            if maximum is not None and value > maximum:
                raise ValueError(f"must be at most {maximum} in production")
        return value

    return AfterValidator(check)


# A path relative to the directory of settings.toml; a fault says "must be" and the description.
FilePath = Annotated[Path, BeforeValidator(_path), Field(description="a path")]
OptionalPath = Annotated[Path | None, BeforeValidator(_path), Field(description="a path or empty")]
PrivateKey = Annotated[OptionalPath, AfterValidator(_private_key)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url), Field(description="a string")]
DirectUrl = Annotated[SecretStr, AfterValidator(_direct_url), Field(description="a string")]
DatabaseReads = Annotated[
    Reads, Field(strict=False, description="primary or acknowledged"), AfterValidator(_reads)
]
PoolMax = Annotated[int, AfterValidator(_pool_max)]
RequireHttps = Annotated[bool, AfterValidator(_require_https)]
_Secret = Annotated[SecretStr, Field(min_length=32)]
_SECRETS = Field(strict=False, description="a list of strings of at least 32 characters")
Keys = Annotated[tuple[_Secret, ...], _SECRETS, AfterValidator(_keys)]
Peppers = Annotated[tuple[_Secret, ...], _SECRETS, AfterValidator(_peppers)]
Words = Annotated[
    tuple[Annotated[str, Field(min_length=3)], ...],
    Field(strict=False, description="a list of words of at least 3 characters"),
]
Networks = Annotated[
    tuple[str, ...],
    Field(strict=False, description="a list of networks"),
    AfterValidator(_networks),
]
PublicUrl = Annotated[str, AfterValidator(_public_url), Field(description="an origin or empty")]
Origins = Annotated[
    tuple[str, ...],
    Field(strict=False, description="a list of origins"),
    AfterValidator(_origins),
]
