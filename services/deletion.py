"""The deletion of an account, by its user or an administrator."""

from datetime import datetime

from db import tokens, users
from db.rows import UserRow
from services.reservations import Reservations
from services.throttle import Throttle
from services.transactions import Transaction


async def delete_account(
    transaction: Transaction,
    user: UserRow,
    *,
    at: datetime,
    reservations: Reservations,
    throttle: Throttle,
) -> int:
    """Delete a locked user and what else is personal, and reserve the email address.

    Returns the number of valid tokens that were revoked.
    """
    connection = transaction.connection
    revoked = await tokens.revoke_and_anonymize(connection, user.id, at=at)
    await users.delete_user(connection, user.id)
    await reservations.reserve(connection, user)
    await throttle.delete_count(connection, user)
    return revoked
