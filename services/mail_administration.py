"""The administration of messages to users."""

from db import message_queue
from db.message_queue import MessageFilter
from db.message_rows import MessageStateRow
from db.pool import Connection
from rules import emails
from rules.digests import Digests
from rules.origin import LocalOrigin
from services.core import Core
from services.event_kinds import EventKind
from services.named_users import UserNotFound, find_user, is_user_id
from services.outbox import recipient_digest
from services.transactions import Transaction, connection_to, transaction_on


class MessageNotFound(Exception):
    """No message has that id."""


class MessageNotRetried(Exception):
    """A message is not sent again; the text is the reason."""


class MailAdministration:
    """Lists messages, sends them again, and drops them, with an event for each command."""

    def __init__(self, core: Core, digests: Digests, origin: LocalOrigin) -> None:
        self._core = core
        self._digests = digests
        self._origin = origin

    async def find_all(
        self, *, state: str | None, email_or_id: str | None, limit: int
    ) -> list[MessageStateRow]:
        """Return messages, newest first: all, or those to a user or an email address.

        The email address need not belong to a user. Raises UserNotFound for an unknown id.
        """
        user_id, digest = None, None
        async with connection_to(self._core.database) as connection:
            if email_or_id is not None:
                user = await find_user(connection, email_or_id)
                if user is None and is_user_id(email_or_id):
                    raise UserNotFound
                user_id = user.id if user else None
                key = emails.lookup_key(user.email if user else email_or_id)
                digest = recipient_digest(self._digests, key)
            wanted = MessageFilter(state=state, user_id=user_id, email_digest=digest)
            found = await message_queue.find_messages(connection, wanted, limit=limit)
        await self._core.audit.record(EventKind.MAIL_READ, self._origin, user_id=user_id)
        return found

    async def get(self, message_id: str) -> MessageStateRow:
        """Return a message; raises MessageNotFound."""
        async with connection_to(self._core.database) as connection:
            found = await _get_message(connection, message_id)
        await self._core.audit.record(EventKind.MAIL_READ, self._origin, user_id=found.user_id)
        return found

    async def retry(self, message_id: str) -> None:
        """Retry now a message whose last attempt failed.

        Raises MessageNotFound, or MessageNotRetried.
        """
        async with transaction_on(self._core.database) as transaction:
            now = self._core.now()
            found = await _get_message(transaction.connection, message_id)
            if not await message_queue.retry(transaction.connection, message_id, now=now):
                is_expired = found.expires_at <= now and found.state in {"due", "dead"}
                raise MessageNotRetried("expired" if is_expired else _reason(found))
            await self._write(transaction, EventKind.MAIL_RETRIED, found)

    async def retry_dead(self) -> int:
        """Retry now all valid messages that the server gave up on; return their number."""
        async with transaction_on(self._core.database) as transaction:
            now = self._core.now()
            retried = await message_queue.retry(transaction.connection, None, now=now)
            if retried:
                await self._core.audit.write(transaction, EventKind.MAIL_RETRIED, self._origin)
        return retried

    async def drop(self, message_id: str) -> bool:
        """Void a message, so that it is not sent; return False if it was already void.

        Raises MessageNotFound.
        """
        async with transaction_on(self._core.database) as transaction:
            found = await _get_message(transaction.connection, message_id)
            is_new = await message_queue.drop(
                transaction.connection, message_id, now=self._core.now()
            )
            if is_new:
                await self._write(transaction, EventKind.MAIL_DROPPED, found)
        return is_new

    async def _write(
        self, transaction: Transaction, kind: EventKind, message: MessageStateRow
    ) -> None:
        await self._core.audit.write(
            transaction,
            kind,
            self._origin,
            user_id=message.user_id,
            email_key=emails.email_key(message.recipient),
        )


async def _get_message(connection: Connection, message_id: str) -> MessageStateRow:
    found = await message_queue.find_message(connection, message_id)
    if found is None:
        raise MessageNotFound
    return found


def _reason(message: MessageStateRow) -> str:
    if message.state == "due":
        return "already due"
    return message.state
