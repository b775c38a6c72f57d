"""The outbox: messages to users, inserted in the transaction of what they are about."""

import uuid
from collections.abc import Callable
from datetime import timedelta

from db import messages
from db.rows import NewMessage, UserRow
from rules import emails
from rules.digests import Digests
from rules.message_kinds import MessageKind
from services.core import Core
from services.transactions import Transaction
from settings.model import MailSettings

_PURPOSE = "message"
# What a new password or address makes void; an undo makes EMAIL_UNDO void, too.
BOUND = tuple(
    kind for kind in MessageKind if kind.rules.page and kind is not MessageKind.EMAIL_UNDO
)
WITH_SECRETS = tuple(kind for kind in MessageKind if kind.rules.page)


class Outbox:
    """Stores messages for the sender.

    ``key_id`` returns the id of the signing key that secrets derive from, and ``wake`` makes the
    sender of this process look for messages.
    """

    def __init__(
        self,
        core: Core,
        digests: Digests,
        mail: MailSettings,
        *,
        key_id: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        self._core = core
        self._digests = digests
        self._mail = mail
        self._key_id = key_id
        self._wake = wake

    @property
    def is_on(self) -> bool:
        """Return whether messages are sent."""
        return self._mail.relay is not None

    async def add(
        self, transaction: Transaction, kind: MessageKind, user: UserRow, recipient: str = ""
    ) -> str:
        """Store a message to a user, to the stored address or to another; return its id."""
        return await self._add(transaction, kind, user.id, recipient or user.email)

    async def add_without_user(
        self, transaction: Transaction, kind: MessageKind, email: str, *, is_sent: bool
    ) -> str:
        """Store a message to an address of no user, which may only count; return its id."""
        return await self._add(transaction, kind, None, email, is_sent=is_sent)

    async def notify(self, transaction: Transaction, kind: MessageKind, user: UserRow) -> None:
        """Store a message about a change, if messages are sent."""
        if self.is_on:
            await self.add(transaction, kind, user)

    async def void(
        self, transaction: Transaction, user: UserRow, *, also_undo: bool = False
    ) -> None:
        """Make the secrets of earlier messages to a user void."""
        kinds = WITH_SECRETS if also_undo else BOUND
        await messages.void_messages(transaction.connection, user.id, kinds, at=self._core.now())

    async def _add(
        self,
        transaction: Transaction,
        kind: MessageKind,
        user_id: str | None,
        email: str,
        *,
        is_sent: bool = True,
    ) -> str:
        now, rules = self._core.now(), kind.rules
        message = NewMessage(
            id=str(uuid.uuid4()),
            kind=kind,
            user_id=user_id,
            recipient=email if is_sent else None,
            email_digest=self._digests.of(_PURPOSE, emails.email_key(email)),
            key_id=self._key_id() if rules.page else None,
            created_at=now,
            expires_at=now + timedelta(seconds=rules.lifetime_seconds),
            is_urgent=rules.is_urgent,
            is_bound=kind in BOUND,
        )
        await messages.insert_message(
            transaction.connection,
            message,
            language=self._mail.language,
            max_per_hour=self._mail.recipient_per_hour,
        )
        transaction.on_commit(self._wake)
        return message.id
