"""How things look in JSON."""

from datetime import UTC, datetime
from typing import Protocol


class User(Protocol):
    """What is told of a user."""

    @property
    def id(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...


def user_document(user: User) -> dict[str, object]:
    """Return the document of a user."""
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "created_at": rfc3339(user.created_at),
        "updated_at": rfc3339(user.updated_at),
    }


def rfc3339(time: datetime) -> str:
    """Return a time as RFC 3339 has it, in UTC, to the millisecond."""
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    return time.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
