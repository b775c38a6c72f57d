"""The rows that queries of the messages table return, and the parameters of its statements."""

from dataclasses import dataclass, field
from datetime import datetime

from db.rows import UserRow


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to insert.

    It is sent to ``recipient``, if there is one, unless the user ``user_id`` is disabled. A bound
    message becomes void when that user gets a new password. A printed one is not sent: an
    administrator passes its link on.
    """

    id: str
    nonce: str = field(repr=False)
    kind: str
    user_id: str | None
    recipient: str | None
    email_digest: str
    key_id: str | None
    created_at: datetime
    expires_at: datetime
    is_urgent: bool
    is_bound: bool
    network_digest: str | None = None
    requester_id: str | None = None
    is_printed: bool = False


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message that this process may send until ``due_at``.

    It is not valid if it has expired or become void, or its user is disabled or deleted. Without a
    recipient, nothing is sent.
    """

    id: str
    nonce: str = field(repr=False)
    kind: str
    recipient: str | None
    language: str
    key_id: str | None
    created_at: datetime
    expires_at: datetime
    due_at: datetime
    attempts: int
    is_urgent: bool
    is_valid: bool


@dataclass(frozen=True, slots=True)
class ProofRow:
    """A message whose secret may be presented: its user, and whether it was used before."""

    id: str
    nonce: str = field(repr=False)
    kind: str
    key_id: str
    recipient: str
    is_used: bool
    password_version: int
    user: UserRow


@dataclass(frozen=True, slots=True)
class BacklogRow:
    """How many messages are to be sent, and when the oldest of them was stored."""

    due: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class MessageStateRow:
    """A message as administrators see it.

    ``state`` is due, sent, dead (given up), void, or printed (an administrator passes its link on).
    """

    id: str
    kind: str
    recipient: str
    user_id: str | None
    language: str
    created_at: datetime
    expires_at: datetime
    state: str
    attempts: int
    due_at: datetime | None
    sent_at: datetime | None
    failed_at: datetime | None
    failure: str | None
    used_at: datetime | None
    voided_at: datetime | None
    tries: int
