"""What the server answers. All times are aware, in UTC."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class User:
    """A registered person."""

    id: str
    email: str
    name: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """A token, as the log-in gives it. ``value`` is a secret; it is not shown."""

    value: str = field(repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A good token in the list of its owner, which tells everything but its value."""

    id: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    user_agent: str | None
    ip: str | None
    current: bool


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an account, as the audit trail tells it.

    ``times`` is how often it happened, in the minute that ended at ``at``.
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
    """Events, newest first; ``before`` asks for those that are older, None if there are none."""

    events: tuple[Event, ...]
    before: str | None


@dataclass(frozen=True, slots=True)
class VerifiedUser:
    """Whom presented credentials belong to."""

    id: str
    email: str
    name: str | None


@dataclass(frozen=True, slots=True)
class ActiveToken:
    """What a service is told of a good token, and of whom it belongs to."""

    token_id: str
    user_id: str
    email: str
    name: str | None
    issued_at: datetime
    expires_at: datetime
