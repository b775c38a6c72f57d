"""The deletion of an account by its user or an administrator, or because it was not verified."""

from datetime import datetime

from db import registrations, tokens, user_messages, users
from db.rows import UserRow
from rules.message_kinds import MessageKind
from rules.origin import LocalOrigin
from services.core import Core
from services.event_kinds import EventKind, Revocation
from services.outbox import Outbox
from services.reservations import Reservations
from services.throttle import Throttle
from services.transactions import Transaction, transaction_on


async def delete_account(
    transaction: Transaction,
    user: UserRow,
    *,
    at: datetime,
    reservations: Reservations,
    throttle: Throttle,
    outbox: Outbox,
) -> int:
    """Delete a locked user, reserve the email address, and store a message about it.

    Earlier addresses that an undo reserved remain reserved: otherwise a thief could change the
    address first. Returns the number of valid tokens that were revoked.
    """
    connection = transaction.connection
    earlier = await user_messages.find_restorable(connection, user.id, at=at)
    language = await users.find_language(connection, user.id)
    revoked = await remove_account(transaction, user, at=at, throttle=throttle)
    await reservations.reserve(connection, [user.email, *earlier])
    await outbox.notify(transaction, MessageKind.USER_DELETED, user, language)
    return revoked


async def remove_account(
    transaction: Transaction, user: UserRow, *, at: datetime, throttle: Throttle
) -> int:
    """Delete a locked user and other personal data; the email address is available at once.

    Returns the number of valid tokens that were revoked.
    """
    connection = transaction.connection
    revoked = await tokens.revoke_and_anonymize(connection, user.id, at=at)
    await user_messages.anonymize_messages(connection, user.id, at=at)
    await users.delete_user(connection, user.id)
    await throttle.delete_count(connection, user)
    return revoked


async def _remove_void_account(
    transaction: Transaction, core: Core, throttle: Throttle, user: UserRow
) -> None:
    """Delete a locked user who has not verified the email address in time."""
    revoked = await remove_account(transaction, user, at=core.now(), throttle=throttle)
    await core.audit.write(
        transaction,
        EventKind.DELETED,
        LocalOrigin(),
        user=user,
        revoked=(Revocation.USER_DELETED, revoked),
    )


async def make_available(core: Core, throttle: Throttle, email_key: str) -> None:
    """Delete the user of an email address who has not verified it in time, if there is one.

    In a transaction of its own, so that no transaction writes rows of two users.
    """
    async with transaction_on(core.database) as transaction:
        connection = transaction.connection
        user = await registrations.find_void_for_update(connection, email_key, at=core.now())
        if user is not None:
            await _remove_void_account(transaction, core, throttle, user)


async def remove_next_void_account(core: Core, throttle: Throttle) -> bool:
    """Delete a user who has not verified the email address in time; return False if none is left.

    Each in a transaction of its own, which writes rows of that user only.
    """
    async with transaction_on(core.database) as transaction:
        connection = transaction.connection
        user = await registrations.find_next_void_for_update(connection, at=core.now())
        if user is not None:
            await _remove_void_account(transaction, core, throttle, user)
        return user is not None
