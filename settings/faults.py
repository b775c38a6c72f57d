"""The faults of the settings, each as one line that shows no secret."""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import reduce
from operator import getitem
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from settings.choices import Verification
from settings.model import FIELDS, Settings
from settings.profiles import Profile
from settings.server import MAX_PORT

# The origin of some values, and the values by section and key.
Layer = tuple[str, dict[str, Any]]

_MASK = "**********"
# The similarity of names from which one may be a slip of the other.
_MIN_SIMILARITY = 0.7


class SettingsError(Exception):
    """The settings cannot be used; ``faults`` has a printable line for each reason."""

    def __init__(self, *faults: str) -> None:
        self.faults = tuple(
            "".join(c if c.isprintable() else ascii(c)[1:-1] for c in fault) for fault in faults
        )
        super().__init__("\n".join(self.faults))


def fault_of(error: ErrorDetails, layers: Sequence[Layer]) -> str:
    """Return the line for an error of pydantic, with the origin of the value."""
    location = [str(part) for part in error["loc"][:2]]
    path, name = ".".join(location), location[-1]
    if error["type"] == "missing":
        return f"{path}: missing; settings.toml has to give its default in [default]"
    origin, value = _find(location, layers)
    fields = FIELDS[location[0]] if len(location) > 1 else Settings.model_fields
    if error["type"] == "extra_forbidden":
        return f"{path} (from {origin}): {unknown(name, fields)}"
    if error["type"] == "model_type":
        return f"{path} (from {origin}): must be a table"
    shown = _MASK if value and _is_secret(fields[name]) else _shown(value)
    wanted = error.get("ctx", {}).get("error") or f"must be {_wanted(fields[name])}"
    if error["type"] == "string_unicode":
        wanted = "must be UTF-8"
    return f"{path} = {shown} (from {origin}): {wanted}"


def _shown(value: object) -> str:
    # Dotted keys nest tables to any depth, and each version of Python has its own limit for JSON.
    if isinstance(value, dict):
        return "(a table)"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return "(a nested list)"
    return json.dumps(value, default=str)


def faults_across_sections(settings: Settings, layers: Sequence[Layer]) -> list[str]:
    """Return the faults that involve more than one section."""
    return [
        *_process_faults(settings, layers),
        *_mail_faults(settings, layers),
        *_key_faults(settings, layers),
    ]


def _process_faults(settings: Settings, layers: Sequence[Layer]) -> list[str]:
    """Return the settings that prevent several processes on this machine."""
    server = settings.server
    faults = []
    if server.processes > 1 and settings.database.is_embedded:
        must = "must be 1 with the embedded Postgres: several processes need DATABASE_URL"
        faults.append(_fault_at("server", "processes", layers, must))
    for section, port in (("server", server.port), ("metrics", settings.metrics.port)):
        if server.own_port(port) > MAX_PORT:
            must = f"must be at most {MAX_PORT} after server.instance is added"
            faults.append(_fault_at(section, "port", layers, must))
    return faults


def _mail_faults(settings: Settings, layers: Sequence[Layer]) -> list[str]:
    """Return the missing settings that messages need in addition to a relay."""
    mail, registration = settings.mail, settings.registration
    is_on = mail.relay is not None
    faults = []
    if is_on and not mail.sender:
        faults.append(_fault_at("mail", "from", layers, "must be set if mail.url is set"))
    needs_origin = is_on and settings.profile is Profile.PRODUCTION
    if needs_origin and not (mail.links_to or settings.server.public_url):
        must = "must be set if mail.url is set: links in messages begin with it"
        faults.append(_fault_at("server", "public_url", layers, must))
    if registration.verification is Verification.REQUIRED and not is_on:
        must = 'must be set if registration.verification is "required"'
        faults.append(_fault_at("mail", "url", layers, must))
    return faults


def _fault_at(section: str, key: str, layers: Sequence[Layer], must: str) -> str:
    origin, _ = _find([section, key], layers)
    return f"{section}.{key} (from {origin}): {must}"


def _key_faults(settings: Settings, layers: Sequence[Layer]) -> list[str]:
    shared = set(settings.tokens.keys) & set(settings.passwords.pepper)
    if not shared or settings.profile is not Profile.PRODUCTION:
        return []
    origin, _ = _find(["passwords", "pepper"], layers)
    must = "must not contain a key of tokens.keys: one that leaks would give away the other"
    return [f"passwords.pepper = {_MASK} (from {origin}): {must}"]


def unknown(name: str, known: Iterable[str], *, elsewhere: str = "") -> str:
    """Return the end of a line about an unknown name, with the closest known one.

    If none is close, all are listed, unless the list is ``elsewhere``.
    """
    spellings = {spelling.lower(): spelling for spelling in known}
    for closest in get_close_matches(name.lower(), spellings, 1, _MIN_SIMILARITY):
        return f"unknown; did you mean {spellings[closest]}?"
    return f"unknown; {elsewhere or 'the known names are ' + ', '.join(known)}"


def _find(location: list[str], layers: Sequence[Layer]) -> tuple[str, object]:
    for origin, values in layers:
        with suppress(KeyError, TypeError):  # TypeError: the section is not a table
            return origin, reduce(getitem, location, values)
    raise LookupError(location)


def _is_secret(field: FieldInfo) -> bool:
    """Return whether a field is, or contains, a secret."""

    def contains_secret(kind: object) -> bool:
        return kind is SecretStr or any(map(contains_secret, get_args(kind)))

    return contains_secret(field.annotation)


def _wanted(field: FieldInfo) -> str:
    kinds: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}
    kind = field.description or kinds[field.annotation]
    words = {"ge": "at least", "gt": "more than", "le": "at most"}
    bounds = [
        f"{words[name]} {getattr(rule, name)}"
        for rule in field.metadata
        for name in words
        if hasattr(rule, name)
    ]
    return f"{kind} of {' and '.join(bounds)}" if bounds else kind
