"""The kinds of messages: their purpose, their validity, and the page that their link opens."""

from dataclasses import dataclass
from enum import StrEnum

_HOUR = 3600
_DAY = 24 * _HOUR


class MessageKind(StrEnum):
    """The purpose of a message. The values are stored, and therefore do not change."""

    VERIFICATION = "verification"
    PASSWORD_RESET = "password-reset"
    UNDO_RESET = "undo-reset"
    INVITATION = "invitation"
    EMAIL_CHANGE = "email-change"
    EMAIL_UNDO = "email-undo"
    ADDRESS_TAKEN = "address-taken"
    PASSWORD_CHANGED = "password-changed"
    TOKENS_REVOKED = "tokens-revoked"
    USER_DELETED = "user-deleted"

    @property
    def rules(self) -> "MessageRules":
        return _RULES[self]


@dataclass(frozen=True, slots=True)
class MessageRules:
    """The rules of a kind.

    ``page`` is the last part of the path that a link opens; None for a message without a secret.
    Urgent messages are sent first, and do not count toward the limit of their recipient; a notice
    is urgent only at a verified address.
    """

    lifetime_seconds: int
    page: str | None = None
    is_urgent: bool = False


_RULES = {
    MessageKind.VERIFICATION: MessageRules(_DAY, "verify"),
    MessageKind.PASSWORD_RESET: MessageRules(_HOUR, "reset"),
    # An undo has disabled the password.
    MessageKind.UNDO_RESET: MessageRules(_HOUR, "reset", is_urgent=True),
    MessageKind.INVITATION: MessageRules(7 * _DAY, "reset"),
    MessageKind.EMAIL_CHANGE: MessageRules(_DAY, "verify"),
    MessageKind.EMAIL_UNDO: MessageRules(7 * _DAY, "undo", is_urgent=True),
    MessageKind.ADDRESS_TAKEN: MessageRules(_DAY),
    MessageKind.PASSWORD_CHANGED: MessageRules(_DAY, is_urgent=True),
    MessageKind.TOKENS_REVOKED: MessageRules(_DAY),
    MessageKind.USER_DELETED: MessageRules(_DAY, is_urgent=True),
}
# All set a password.
RESETS = (MessageKind.PASSWORD_RESET, MessageKind.UNDO_RESET, MessageKind.INVITATION)
