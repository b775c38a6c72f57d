"""Users in a file: their fields, and errors in them."""

import re
from collections.abc import Mapping
from datetime import datetime

from rules.field_errors import FieldErrors
from services.transfer import UserRecord

_TIMES = ("created_at", "disabled_at", "email_verified_at")
FIELDS = ("email", "name", "password_hash", *_TIMES, "language")
# RFC 3339, and the format in which Postgres prints a time.
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}(:[0-9]{2})?)"
)
# Without a header, a name may be a hash or an email address, which must not be printed.
_PRINTABLE_NAME = re.compile(r"[A-Za-z_ -]{1,30}")


def record_of(members: Mapping[str, object]) -> UserRecord:
    """Return the record with these fields; raises InvalidFields with all errors."""
    errors = FieldErrors()
    for field in members:
        if field not in FIELDS:
            errors.add(shown_name(field), f"is unknown; the known names are {', '.join(FIELDS)}")
    email = errors.check("email", _text, members.get("email"))
    if members.get("email") is None:
        errors.add("email", "is required")
    stored = errors.check("password_hash", _text, members.get("password_hash"))
    name = errors.check("name", _text, members.get("name"))
    created, disabled, verified = (errors.check(each, _time, members.get(each)) for each in _TIMES)
    language = errors.check("language", _text, members.get("language"))
    errors.raise_if_any()
    return UserRecord(email or "", stored or "", name, created, disabled, verified, language)


def shown_name(name: str) -> str:
    """Return the name of an unknown field in a form that may be printed."""
    return name if _PRINTABLE_NAME.fullmatch(name) else "a field"


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("must be a string")


def _time(value: object) -> datetime:
    must = "must be a time with a time zone, such as 2024-01-31T12:00:00Z"
    if not (isinstance(value, str) and _TIME.fullmatch(value)):
        raise ValueError(must)
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError(must) from None
