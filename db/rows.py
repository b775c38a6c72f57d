"""The rows that queries return, and the parameters of some statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

# A row as the driver returns it.
Row = tuple[Any, ...]
# The values of %s, or of %(name)s, in a statement.
Parameters = Sequence[object] | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user, without secrets."""

    id: str
    email: str
    name: str | None
    created_at: datetime
    updated_at: datetime
    is_email_verified: bool


def changed_user(row: Row | None) -> UserRow:
    """Return the user that a statement has changed; raises LookupError if there was none."""
    if row is None:
        raise LookupError("The user does not exist: the row was not locked before the change.")
    return UserRow(*row)


@dataclass(frozen=True, slots=True)
class PasswordRow:
    """A user with the stored password."""

    user: UserRow
    password_hash: str = field(repr=False)
    password_version: int
    is_disabled: bool


@dataclass(frozen=True, slots=True)
class OwnerRow:
    """The owner of a token, and when the token was issued, in UTC seconds."""

    user: UserRow
    issued_at: int


@dataclass(frozen=True, slots=True)
class SessionRow:
    """The owner of a session, and when the session ends unless it is used.

    ``idle_until`` is None if it ends only at its expiry.
    """

    user: UserRow
    idle_until: datetime | None


@dataclass(frozen=True, slots=True)
class NewTokenRow:
    """A token to insert; ``max_idle`` is None if it stays valid without a use until it expires."""

    id: str
    kind: str
    created_at: datetime
    expires_at: datetime
    max_idle: timedelta | None
    key_id: str
    user_agent: str | None
    ip: str | None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as its owner sees it."""

    id: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    user_agent: str | None
    ip: str | None
    kind: str


@dataclass(frozen=True, slots=True)
class Use:
    """The last use of a token: the time in UTC seconds, and the IP address, if known."""

    token_id: str
    at: int
    ip: str | None


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A service that may introspect and revoke tokens."""

    id: str
    name: str
    created_at: datetime
    secret_made_at: datetime
    old_secret_until: datetime | None


@dataclass(frozen=True, slots=True)
class ClientSecretRow:
    """The digests of a client's secret, and of its old one while that is valid."""

    digest: bytes = field(repr=False)
    old_digest: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class CountRow:
    """For how many seconds after the response of Postgres attempts are rejected.

    ``usual_network_wait_seconds`` replaces ``wait_seconds`` for attempts from the usual network,
    that of the last login. Both are 0 or less, or None, if attempts are allowed.
    """

    wait_seconds: float | None
    usual_network: str | None
    usual_network_wait_seconds: float | None


@dataclass(frozen=True, slots=True)
class CountStateRow:
    """A count as administrators see it.

    ``next_at`` is the time of the next allowed attempt, None if attempts are rejected indefinitely
    or do not have to wait. ``is_locked_everywhere`` includes the usual network.
    """

    subject: str
    failures: int
    last_at: datetime
    is_locked: bool | None
    next_at: datetime | None
    is_waiting: bool
    usual_network: str | None
    is_locked_everywhere: bool


@dataclass(frozen=True, slots=True)
class ThrottleDecision:
    """Whether an attempt was counted, when, the wait if it was not, and whether one begins now."""

    is_allowed: bool
    wait_seconds: float | None
    is_newly_blocked: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to insert into the audit trail."""

    at: datetime
    kind: str
    outcome: str
    user_id: str | None = None
    email_digest: str | None = None
    ip: str | None = None
    client_id: str | None = None
    key_id: str | None = None
    request_id: str | None = None
    actor: str | None = None
    times: int = 1


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event of the audit trail, which callers identify by ``public_id``."""

    id: int
    public_id: str
    at: datetime
    kind: str
    outcome: str
    user_id: str | None
    email_digest: str | None
    ip: str | None
    client_id: str | None
    key_id: str | None
    request_id: str | None
    actor: str | None
    times: int


@dataclass(frozen=True, slots=True)
class ImportedUser:
    """A user with everything that an import or export contains."""

    email: str
    email_key: str
    name: str | None
    password_hash: str = field(repr=False)
    created_at: datetime
    disabled_at: datetime | None
    email_verified_at: datetime | None
    language: str | None


@dataclass(frozen=True, slots=True)
class UserStateRow:
    """A user as administrators see it."""

    id: str
    email: str
    name: str | None
    created_at: datetime
    disabled_at: datetime | None
    email_verified_at: datetime | None
    verify_until: datetime | None
    language: str | None
