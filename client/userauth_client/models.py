"""The data that the server returns. All times are timezone-aware, in UTC."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class User:
    """A registered user. ``email_verified`` is False if the server does not return it."""

    id: str
    email: str
    name: str | None
    created_at: datetime
    updated_at: datetime
    email_verified: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """A token returned by a login. ``value`` is a secret and is left out of the repr."""

    value: str = field(repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A valid token in the list of its owner: everything except its value.

    ``kind`` is ``token``, or ``session`` for a session of a browser.
    """

    id: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    user_agent: str | None
    ip: str | None
    current: bool
    kind: str = "token"


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the audit trail of an account.

    ``times`` is how often it occurred in the minute that ended at ``at``.
    """

    id: str
    at: datetime
    kind: str
    outcome: str
    ip: str | None
    client_id: str | None
    request_id: str | None
    times: int = 1


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, newest first; ``before`` requests the next page, None if this is the last one."""

    events: tuple[Event, ...]
    before: str | None


@dataclass(frozen=True, slots=True)
class VerifiedUser:
    """The owner of verified credentials; its fields have the same names as those of ActiveToken."""

    user_id: str
    email: str
    name: str | None
    email_verified: bool = False


@dataclass(frozen=True, slots=True)
class ActiveToken:
    """The introspection result for a valid token, with its owner; ``user_id`` is its ``sub``."""

    token_id: str
    user_id: str
    email: str
    name: str | None
    issued_at: datetime
    expires_at: datetime
    email_verified: bool = False
