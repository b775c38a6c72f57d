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
