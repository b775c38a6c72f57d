"""The outbox: messages to users, inserted in the transaction of the change that they report."""

import math
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from db import message_limits, messages, user_messages
from db.message_rows import NewMessage
from db.rows import UserRow
from rules import emails
from rules.digests import Digests
from rules.errors import TooManyMessages
from rules.message_kinds import MessageKind
from rules.origin import Origin, network_of
from services.core import Core
from services.transactions import Transaction
from settings.model import MailSettings

_RECIPIENT, _NETWORK = "message.recipient", "message.network"
WITH_SECRETS = tuple(kind for kind in MessageKind if kind.rules.page)
# The kinds of messages that a new password or email address makes void.
BOUND = tuple(kind for kind in WITH_SECRETS if kind is not MessageKind.EMAIL_UNDO)


def recipient_digest(digests: Digests, email_key: str) -> str:
    """Return the digest under which messages to an address are counted."""
    return digests.of(_RECIPIENT, email_key)


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

    async def request(
        self,
        transaction: Transaction,
        kind: MessageKind,
        email: str,
        origin: Origin,
        *,
        user: UserRow | None,
        requester: UserRow | None = None,
    ) -> str:
        """Store a message that a caller requests, and return its id.

        It is sent to ``email``. If ``user`` is None, the same work is done, but nothing is sent.
        Raises TooManyMessages.
        """
        network_digest = self._digests.of(_NETWORK, network_of(origin.ip))
        requester_id = requester.id if requester is not None else None
        seconds = await message_limits.find_wait(
            transaction.connection,
            network_digest=network_digest,
            requester_id=requester_id,
            network_limit=self._mail.network_per_hour,
            user_limit=self._mail.user_per_hour,
            now=self._core.now(),
        )
        if seconds > 0:
            raise TooManyMessages(math.ceil(seconds))
        message = self._message(kind, email, user, is_sent=user is not None)
        counted = replace(message, network_digest=network_digest, requester_id=requester_id)
        return await self._insert(transaction, counted)

    async def add(
        self, transaction: Transaction, kind: MessageKind, user: UserRow, recipient: str = ""
    ) -> str:
        """Store a message to a user, at the stored address or another one; return its id."""
        return await self._insert(transaction, self._message(kind, recipient or user.email, user))

    async def add_printed(
        self, transaction: Transaction, kind: MessageKind, user: UserRow
    ) -> NewMessage:
        """Store a message whose link an administrator passes on, and return it."""
        message = replace(self._message(kind, user.email, user), is_printed=True)
        await self._insert(transaction, message)
        return message

    async def notify(
        self,
        transaction: Transaction,
        kind: MessageKind,
        user: UserRow,
        language: str | None = None,
    ) -> None:
        """Store a message about a change, if messages are sent and no unsent one reports it.

        It is urgent only if the address is verified: any other may belong to a stranger, who must
        not get more messages than the limit of a recipient. ``language`` is that of a user whose
        row is already deleted.
        """
        if not self.is_on:
            return
        owner = None if kind is MessageKind.USER_DELETED else user
        message = self._message(kind, user.email, owner)
        message = replace(message, is_urgent=message.is_urgent and user.is_email_verified)
        if not await messages.renew_unsent(transaction.connection, message):
            await self._insert(transaction, message, language)

    async def void(
        self, transaction: Transaction, user_id: str, *, also_undo: bool = False
    ) -> None:
        """Void the secrets of earlier messages to a user."""
        kinds = WITH_SECRETS if also_undo else BOUND
        await user_messages.void_messages(
            transaction.connection, user_id, kinds, at=self._core.now()
        )

    def _message(
        self, kind: MessageKind, email: str, user: UserRow | None, *, is_sent: bool = True
    ) -> NewMessage:
        now, rules = self._core.now(), kind.rules
        return NewMessage(
            id=str(uuid.uuid4()),
            nonce=str(uuid.uuid4()),
            kind=kind,
            user_id=user.id if user is not None else None,
            recipient=email if is_sent else None,
            email_digest=recipient_digest(self._digests, emails.email_key(email)),
            key_id=self._key_id() if rules.page else None,
            created_at=now,
            expires_at=now + timedelta(seconds=rules.lifetime_seconds),
            is_urgent=rules.is_urgent,
            is_bound=kind in BOUND,
        )

    async def _insert(
        self, transaction: Transaction, message: NewMessage, language: str | None = None
    ) -> str:
        await messages.insert_message(
            transaction.connection,
            message,
            language=language or self._mail.language,
            max_per_hour=self._mail.recipient_per_hour,
        )
        transaction.on_commit(self._wake)
        return message.id
