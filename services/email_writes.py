"""The write of a new email address, by a change or by its undo."""

from datetime import datetime

from db import user_emails
from db.rows import UserRow
from rules import emails
from services.throttle import Throttle
from services.transactions import Transaction


async def write_email(
    transaction: Transaction, throttle: Throttle, old: UserRow, email: str, *, at: datetime
) -> UserRow | None:
    """Write a verified address of a locked user, and move the counts of failures to it.

    Returns None if another user has the address.
    """
    connection = transaction.connection
    user = await user_emails.update_email(
        connection, old.id, email=email, email_key=emails.email_key(email), at=at
    )
    if user is not None:
        await throttle.move_count(connection, old, user)
    return user
