"""Make one frozen, validated Settings object out of settings.toml and the environment.

The models list all settings, settings.toml gives each its default: a new setting is one line in a
model and one in the file. What follows load_settings reads, and puts faults into words.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from enum import StrEnum
from functools import reduce
from ipaddress import ip_network
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_origin
from urllib.parse import parse_qs, unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ops.log_format import LogFormat
from settings.exposure import DATABASE_URL, ENCRYPTED, is_everybody, sslmode_over_network
from settings.secret_strength import is_guessable

# What database.url says of the Postgres that comes along.
EMBEDDED = frozenset({"", "embedded"})


# As browsers send it (RFC 6454): in lower case, a name in ASCII, no port that is the scheme's own.
ORIGIN = re.compile(
    r"(http(?!.*:80$)|https(?!.*:443$))://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?"
)


HOW_TO_MAKE_A_KEY = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


class Profile(StrEnum):
    DEVELOPMENT = "development"
    TESTING = "testing"
    PRODUCTION = "production"


PROFILES = {profile.value: profile for profile in Profile} | {
    "config.DevelopmentConfig": Profile.DEVELOPMENT,
    "config.TestingConfig": Profile.TESTING,
    "config.ProductionConfig": Profile.PRODUCTION,
    "config.StagingConfig": Profile.PRODUCTION,
}
TABLES = ("default", *Profile)


class Context(NamedTuple):
    profile: Profile
    folder: Path
    # Whether tokens are signed and verified: a backup works without the keys.
    needs_keys: bool = True


Info = ValidationInfo[Context]


def _path(value: object, info: Info) -> object:
    if value == "":
        return None
    return info.context.folder / value if isinstance(value, str | Path) else value


def _database_url(url: SecretStr, info: Info) -> SecretStr:
    """Refuse what is not one Postgres, quoting no part: it may be one of the password."""
    if not url and info.context.profile is Profile.PRODUCTION:
        raise ValueError("set DATABASE_URL=postgresql://… or DATABASE_URL=embedded")
    if url.get_secret_value() in EMBEDDED:
        return url
    match = DATABASE_URL.fullmatch(url.get_secret_value())
    if not match:
        raise ValueError(
            "must be embedded or postgresql://user:password@host:port/name, "
            "with special characters in the user or password written as %40 and the like"
        )
    options = parse_qs(match["options"] or "")
    hosts = [host for host in (unquote(match["host"]), *options.get("host", [])) if host]
    addresses = options.get("hostaddr", [])
    if match["more"] or len(hosts) > 1 or "," in "".join(hosts + addresses):
        raise ValueError("libpq's failover is not supported: name one host or a proxy")
    if not hosts + addresses:
        raise ValueError("must name a host, or a socket directory as ?host=/var/run/postgresql")
    if info.context.profile is Profile.PRODUCTION:
        _refuse_silent_clear_text(sslmode_over_network(url.get_secret_value()))
    return url


def _refuse_silent_clear_text(sslmode: str | None) -> None:
    """Refuse where libpq would fall back to clear text unless that is what the URL asks for."""
    if sslmode is not None and sslmode not in ENCRYPTED | {"disable"}:
        raise ValueError(
            "add ?sslmode=verify-full&sslrootcert=FILE, or sslmode=require, which checks no"
            " certificate: otherwise libpq sends the password in clear text to whoever offers no"
            " TLS; sslmode=disable says that you want clear text"
        )


def _pool_max(pool_max: int, info: Info) -> int:
    if pool_max < info.data.get("pool_min", pool_max):
        raise ValueError(f"must be at least database.pool_min, which is {info.data['pool_min']}")
    return pool_max


def _keys(keys: tuple[SecretStr, ...], info: Info) -> tuple[SecretStr, ...]:
    _check_secrets(keys, "key", info)
    nowhere = not keys and info.data.get("keys_file", ...) is None
    if nowhere and info.context.needs_keys and info.context.profile is Profile.PRODUCTION:
        raise ValueError("set SECRET_KEYS to a random text of at least 32 characters")
    return keys


def _networks(networks: tuple[str, ...], info: Info) -> tuple[str, ...]:
    for network in networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise ValueError(f"must hold networks, as 10.0.0.0/8: {error}") from None
        if info.context.profile is Profile.PRODUCTION and is_everybody(network):
            raise ValueError(
                f"{network} has clients in it, who would choose their own address: name your"
                " proxies (in production at least a /8 of IPv4, a /16 of IPv6)"
            )
    return networks


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins and len(origins) > 1:
        raise ValueError('must hold "*" alone, or origins')
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError("must hold origins as browsers send them, as https://app.example.com")
    return origins


def _private_key(private_key: Path | None, info: Info) -> Path | None:
    if (private_key is None) != (info.data.get("certificate") is None):
        raise ValueError("must be set together with server.certificate, or neither")
    return private_key


def _require_https(require_https: bool, info: Info) -> bool:  # noqa: FBT001 - pydantic's signature
    is_possible = info.data.get("certificate") or info.data.get("trusted_proxies", ...)
    if require_https and not is_possible and info.context.profile is Profile.PRODUCTION:
        raise ValueError(
            "no request could come over HTTPS: set server.certificate, or name the proxy that"
            " has one in server.trusted_proxies"
        )
    return require_https


def _peppers(peppers: tuple[SecretStr, ...], info: Info) -> tuple[SecretStr, ...]:
    _check_secrets(peppers, "pepper", info)
    return peppers


def _check_secrets(secrets: tuple[SecretStr, ...], what: str, info: Info) -> None:
    if any(not secret.get_secret_value().isprintable() for secret in secrets):
        raise ValueError("must hold printable characters only")
    if len(set(secrets)) < len(secrets):
        raise ValueError(f"must not hold the same {what} twice")
    is_production = info.context.profile is Profile.PRODUCTION
    if is_production and any(is_guessable(secret.get_secret_value()) for secret in secrets):
        raise ValueError(f"holds a {what} that can be guessed; {HOW_TO_MAKE_A_KEY}")


def _in_production(*, least: int | None = None, most: int | None = None) -> AfterValidator:
    def check(value: int, info: Info) -> int:
        if info.context.profile is Profile.PRODUCTION:
            if least is not None and value < least:
                raise ValueError(f"must be at least {least} in production")
            if most is not None and value > most:
                raise ValueError(f"must be at most {most} in production")
        return value

    return AfterValidator(check)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Server(Section):
    host: str = Field(min_length=1, description="an address or a host name")
    port: int = Field(ge=0, le=65535)
    drain_delay_seconds: float = Field(ge=0, le=60)
    drain_seconds: float = Field(ge=0, le=600)
    lag_warning_seconds: float = Field(gt=0, le=60)
    trusted_proxies: Annotated[
        tuple[str, ...],
        Field(strict=False, description="a list of networks"),
        AfterValidator(_networks),
    ]
    certificate: Annotated[Path | None, BeforeValidator(_path)] = Field(
        description="a path or empty"
    )
    private_key: Annotated[Path | None, BeforeValidator(_path), AfterValidator(_private_key)] = (
        Field(description="a path or empty")
    )
    require_https: Annotated[bool, AfterValidator(_require_https)]


class Database(Section):
    url: Annotated[SecretStr, AfterValidator(_database_url)] = Field(description="text")
    embedded_dir: Annotated[Path, BeforeValidator(_path)] = Field(description="a path")
    pool_min: int = Field(ge=1, le=1000)
    pool_max: Annotated[int, AfterValidator(_pool_max)] = Field(ge=1, le=1000)
    acquire_timeout_seconds: float = Field(ge=0.01, le=600)
    query_timeout_seconds: float = Field(ge=0.01, le=600)

    @property
    def is_embedded(self) -> bool:
        """Tell whether it is the Postgres that comes along."""
        return self.url.get_secret_value() in EMBEDDED


class Tokens(Section):
    lifetime_seconds: int = Field(ge=1, le=10 * 365 * 24 * 60 * 60)
    max_per_user: int = Field(ge=1, le=10_000)
    keep_expired_days: int = Field(ge=0, le=3650)
    keys_file: Annotated[Path | None, BeforeValidator(_path)] = Field(description="a path or empty")
    keys: Annotated[
        tuple[Annotated[SecretStr, Field(min_length=32)], ...],
        Field(strict=False, description="a list of texts of at least 32 characters"),
        AfterValidator(_keys),
    ]


class Passwords(Section):
    bcrypt_cost: Annotated[int, _in_production(least=10)] = Field(ge=4, le=18)
    min_length: Annotated[int, _in_production(least=8)] = Field(ge=1, le=64)
    refuse_common: bool
    workers: int = Field(ge=0, le=64)
    max_wait_seconds: float = Field(gt=0, le=60)
    max_per_account: int = Field(ge=1, le=10_000)
    remember_seconds: float = Field(ge=0, le=3600)
    current_required: bool
    service_words: Annotated[
        tuple[Annotated[str, Field(min_length=3)], ...],
        Field(strict=False, description="a list of words of at least 3 characters"),
    ]
    pepper: Annotated[
        tuple[Annotated[SecretStr, Field(min_length=32)], ...],
        Field(strict=False, description="a list of texts of at least 32 characters"),
        AfterValidator(_peppers),
    ]


class Registration(Section):
    quarantine_days: int = Field(ge=0, le=3650)


class Throttle(Section):
    pair_failures: int = Field(ge=1, le=1_000_000)
    account_failures: int = Field(ge=1, le=1_000_000)
    address_failures: int = Field(ge=1, le=1_000_000)
    registrations: int = Field(ge=1, le=1_000_000)
    max_consecutive_failures: Annotated[int, _in_production(most=100)] = Field(ge=10, le=1_000_000)
    first_delay_seconds: float = Field(ge=1, le=3600)
    longest_delay_seconds: float = Field(ge=1, le=86_400)
    forget_seconds: int = Field(ge=1, le=30 * 86_400)
    hashes_per_minute: int = Field(ge=1, le=1_000_000)
    writes_per_minute: int = Field(ge=1, le=1_000_000)


class Audit(Section):
    keep_days: int = Field(ge=1, le=3650)


class Cors(Section):
    origins: Annotated[
        tuple[str, ...],
        Field(strict=False, description="a list of origins"),
        AfterValidator(_origins),
    ]


class Logging(Section):
    format: LogFormat = Field(strict=False, description="auto, text or json")


class Metrics(Section):
    host: str = Field(min_length=1, description="an address or a host name")
    port: int = Field(ge=0, le=65535)


class Docs(Section):
    enabled: bool


class Limits(Section):
    # No call takes a larger one, and a larger one would take long to parse.
    max_body_bytes: int = Field(ge=1024, le=256 * 1024)
    max_connections: int = Field(ge=1, le=1_000_000)
    network_connections: int = Field(ge=0, le=1_000_000)
    first_request_seconds: float = Field(gt=0, le=3600)
    idle_timeout_seconds: float = Field(gt=0, le=3600)
    body_timeout_seconds: float = Field(gt=0, le=3600)


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    profile: Profile = Field(strict=True, description="chosen by APP_SETTINGS, not here")
    server: Server
    database: Database
    tokens: Tokens
    passwords: Passwords
    registration: Registration
    throttle: Throttle
    audit: Audit
    cors: Cors
    logging: Logging
    metrics: Metrics
    docs: Docs
    limits: Limits


FIELDS: dict[str, dict[str, FieldInfo]] = {
    name: getattr(field.annotation, "model_fields", {})
    for name, field in Settings.model_fields.items()
}
VARIABLES = {
    f"USERAUTH_{section}__{key}".upper(): (section, key)
    for section, keys in FIELDS.items()
    for key in keys
} | {
    "DATABASE_URL": ("database", "url"),
    "HOST": ("server", "host"),
    "PORT": ("server", "port"),
    "PASSWORD_PEPPER": ("passwords", "pepper"),
    "SECRET_KEYS": ("tokens", "keys"),
}
Layer = tuple[str, dict[str, Any]]  # where values come from, and the values


class SettingsError(Exception):
    """Tell every fault of the settings, each in one printable line that shows no secret."""

    def __init__(self, *faults: str) -> None:
        self.faults = tuple(
            "".join(c if c.isprintable() else ascii(c)[1:-1] for c in fault) for fault in faults
        )
        super().__init__("\n".join(self.faults))


def load_settings(environ: Mapping[str, str], file: Path, *, needs_keys: bool = True) -> Settings:
    """Return the settings of the profile that APP_SETTINGS names, environ laid over file.

    Variables may also come as files of $CREDENTIALS_DIRECTORY (systemd's LoadCredential=), named
    as the variable. Relative paths start at the folder of file. SettingsError brings all faults
    at once. What signs no token may do without keys in production.
    """
    tables, faults = _read(file)
    texts, more = _from_credentials(environ)
    faults += more
    texts |= {name: text for name, text in sorted(environ.items()) if text}
    variables, more = _from_environment(texts)
    faults += more
    choice = texts.get("APP_SETTINGS", "development")
    if choice not in PROFILES:
        faults.append(f"APP_SETTINGS = {json.dumps(choice)}: must be one of {', '.join(PROFILES)}")
    profile = PROFILES.get(choice, Profile.DEVELOPMENT)
    context = Context(profile, file.absolute().parent, needs_keys)
    # The profiles that do not run are checked too: a slip in one shows before it is deployed.
    lenient = context._replace(profile=Profile.DEVELOPMENT)
    for name in Profile:
        faults += _validate(lenient, [tables[name], tables["default"]])[1]
    layers = [*variables, tables[context.profile], tables["default"]]
    settings, more = _validate(context, layers)
    if settings is not None:
        more = _faults_across(settings, layers)
        faults += more
    if settings is None or faults:
        raise SettingsError(*dict.fromkeys(faults + more))
    return settings


def _read(file: Path) -> tuple[dict[str, Layer], list[str]]:
    try:
        document = tomllib.loads(file.read_bytes().decode())
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{file}: must be UTF-8 (at line {line})") from None
    except ValueError as error:
        raise SettingsError(f"{file}: {error}") from None
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    known = {name: document.pop(name) for name in TABLES if isinstance(document.get(name), dict)}
    must = f"must be one of the tables {', '.join(TABLES)}"
    faults = [f"{name} (from {file.name}): {must}" for name in document]
    return {name: (f"{file.name} [{name}]", known.get(name, {})) for name in TABLES}, faults


def _from_credentials(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    texts: dict[str, str] = {}
    faults: list[str] = []
    if not folder:
        return texts, faults
    try:
        files = [file for file in sorted(Path(folder).iterdir()) if _is_ours(file.name)]
    except OSError as error:
        return texts, [f"CREDENTIALS_DIRECTORY cannot be read: {error.strerror}"]
    for file in files:
        name = file.name
        text = _text_of(file)
        if text is None:
            faults.append(f"{name} (from CREDENTIALS_DIRECTORY): must be a readable file of UTF-8")
        elif text and environ.get(name, text) not in {"", text}:
            faults.append(f"{name} and the credential of that name differ: set only one of them")
        elif text:
            texts[name] = text
    return texts, faults


def _is_ours(name: str) -> bool:
    return name in VARIABLES or name == "APP_SETTINGS" or name.startswith("USERAUTH_")


def _text_of(file: Path) -> str | None:
    try:
        # What is no file, such as a pipe, might never end.
        return file.read_bytes().decode().strip() if file.is_file() else None
    except (OSError, UnicodeDecodeError):
        return None


def _from_environment(texts: Mapping[str, str]) -> tuple[list[Layer], list[str]]:
    names: dict[tuple[str, str], str] = {}
    faults = []
    for name in texts:
        if name in VARIABLES:
            first = names.setdefault(VARIABLES[name], name)
            if texts[first] != texts[name]:
                faults.append(f"{first} and {name} differ: set only one of them")
        elif name.startswith("USERAUTH_"):
            faults.append(f"{name} (from the environment): {_unknown(name, VARIABLES)}")
    layers = [
        (name, {section: {key: _converted(texts[name], FIELDS[section][key])}})
        for (section, key), name in names.items()
    ]
    return layers, faults


def _converted(text: str, field: FieldInfo) -> object:
    annotation: Any = field.annotation
    if get_origin(annotation) is tuple:
        lines = [line for line in text.splitlines() if line.strip()]
        return [part.strip() for part in ",".join(lines).split(",")]
    with suppress(ValidationError):  # what does not fit stays text, for the model to refuse
        return TypeAdapter[object](annotation).validate_strings(text)
    return text


def _validate(context: Context, layers: Sequence[Layer]) -> tuple[Settings | None, list[str]]:
    try:
        merged = {"profile": context.profile} | _merged([values for _, values in layers])
        return Settings.model_validate(merged, context=context), []
    except ValidationError as error:
        return None, [_fault(details, layers) for details in error.errors()]


def _faults_across(settings: Settings, layers: Sequence[Layer]) -> list[str]:
    """Return the faults that are of no section alone."""
    shared = set(settings.tokens.keys) & set(settings.passwords.pepper)
    if not shared or settings.profile is not Profile.PRODUCTION:
        return []
    origin, _ = _find(["passwords", "pepper"], layers)
    must = "must hold no key of tokens.keys: one that leaks would give away the other"
    return [f"passwords.pepper = ********** (from {origin}): {must}"]


def _merged(layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Lay earlier layers over later ones, key by key within each section."""
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        for section, keys in layer.items():
            below = merged.get(section)
            if isinstance(keys, dict) and isinstance(below, dict):
                merged[section] = below | keys
            else:
                merged[section] = keys
    return merged


def _fault(error: ErrorDetails, layers: Sequence[Layer]) -> str:
    place = [str(part) for part in error["loc"][:2]]
    path, name = ".".join(place), place[-1]
    if error["type"] == "missing":
        return f"{path}: missing; settings.toml has to give its default in [default]"
    origin, value = _find(place, layers)
    fields = FIELDS[place[0]] if len(place) > 1 else Settings.model_fields
    if error["type"] == "extra_forbidden":
        return f"{path} (from {origin}): {_unknown(name, fields)}"
    if error["type"] == "model_type":
        return f"{path} (from {origin}): must be a table"
    secret = value and "SecretStr" in repr(fields[name].annotation)
    shown = "**********" if secret else json.dumps(value, default=str)
    wanted = error.get("ctx", {}).get("error") or f"must be {_wanted(fields[name])}"
    return f"{path} = {shown} (from {origin}): {wanted}"


def _find(place: list[str], layers: Sequence[Layer]) -> tuple[str, object]:
    for origin, values in layers:
        with suppress(KeyError, TypeError):  # TypeError: something else stands for the table
            return origin, reduce(getitem, place, values)
    raise LookupError(place)


def _wanted(field: FieldInfo) -> str:
    kinds: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}
    kind = field.description or kinds.get(field.annotation, "of another kind")
    words = {"ge": "at least", "gt": "more than", "le": "at most"}
    bounds = [
        f"{words[name]} {getattr(rule, name)}"
        for rule in field.metadata
        for name in words
        if hasattr(rule, name)
    ]
    return f"{kind} of {' and '.join(bounds)}" if bounds else kind


def _unknown(name: str, known: Iterable[str]) -> str:
    spellings = {spelling.lower(): spelling for spelling in known}
    for closest in get_close_matches(name.lower(), spellings, 1):
        return f"unknown; did you mean {spellings[closest]}?"
    return f"unknown; known are {', '.join(known)}"
