"""What the queries return."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# A row as the driver returns it.
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user, without anything secret."""

    id: str
    email: str
    name: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PasswordRow:
    """A user with the stored password."""

    user: UserRow
    password_hash: str = field(repr=False)
    password_version: int


@dataclass(frozen=True, slots=True)
class OwnerRow:
    """The user that a token belongs to, and when the token was issued, in UTC seconds."""

    user: UserRow
    issued_at: int


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as its owner sees it."""

    id: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    user_agent: str | None
    ip: str | None


@dataclass(frozen=True, slots=True)
class Use:
    """That a token was used: when, and from which address, where that is known."""

    token_id: str
    at: datetime
    ip: str | None


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A service that may ask about tokens."""

    id: str
    name: str
    created_at: datetime
    secret_made_at: datetime
    old_secret_until: datetime | None


@dataclass(frozen=True, slots=True)
class ClientSecretRow:
    """What a client's secret is verified against, and until when its old one is."""

    digest: bytes = field(repr=False)
    old_digest: bytes | None = field(repr=False)
    old_until: datetime | None
