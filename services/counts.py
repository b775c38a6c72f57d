"""How many tokens this process issued and revoked, for those who watch it."""

from dataclasses import dataclass, field
from enum import StrEnum


class Reason(StrEnum):
    """Why a token is good no more, before its time."""

    LOGGED_OUT = "logged-out"
    ENDED = "ended"
    CLIENT = "client"
    SURPLUS = "surplus"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105
    USER_DELETED = "user-deleted"


@dataclass(slots=True)
class TokenCounts:
    """Counted once the transaction is over that did it."""

    issued: int = 0
    revoked: dict[str, int] = field(default_factory=lambda: {reason.value: 0 for reason in Reason})

    def revoke(self, reason: Reason, number: int = 1) -> None:
        """Count tokens that were good until now."""
        self.revoked[reason.value] += number
