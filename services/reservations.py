"""Email addresses of deleted users, which cannot be registered for some days.

A service that identifies users by email address would mistake the next user of an address for the
previous one. Only a keyed digest of the address is stored.

A registration inserts its user first and checks the reservation afterwards, by a second statement
in the same transaction. Two users never have the same address, so the insertion waits for the
commit of a deletion in progress; and under READ COMMITTED the next statement sees everything that
was committed by then, including the reservation. An earlier check, or one in the same statement,
would miss it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from db import reserved_emails, user_messages
from db.pool import Connection
from rules import emails
from rules.digests import Digests
from services.outbox import recipient_digest

_PURPOSE = "reserved-email"


class Reservations:
    """Reserves the email addresses of deleted users for ``quarantine_days``; 0 disables it."""

    def __init__(self, digests: Digests, *, quarantine_days: int) -> None:
        self._digests = digests
        self._quarantine_days = quarantine_days

    async def reserve(self, connection: Connection, emails_of_user: Iterable[str]) -> None:
        """Reserve the email addresses of a user, in the transaction that deletes the user."""
        if not self._quarantine_days:
            return
        # Sorted, so that two deletions lock the rows in the same order.
        for digest in sorted({self._digest(emails.email_key(email)) for email in emails_of_user}):
            await reserved_emails.reserve(connection, digest, days=self._quarantine_days)

    async def holds(
        self,
        connection: Connection,
        email_key: str,
        *,
        now: datetime,
        except_user_id: str | None = None,
    ) -> bool:
        """Return whether an email address is reserved, except for the user who may restore it."""
        digest = recipient_digest(self._digests, email_key)
        is_reserved = await reserved_emails.is_reserved(connection, self._digest(email_key))
        # Both queries in any case: the time of a registration must not reveal a reservation.
        has_undo = await user_messages.reserves(
            connection, digest, except_user_id=except_user_id, now=now
        )
        return is_reserved or has_undo

    async def find_end(self, connection: Connection, email_key: str) -> datetime | None:
        """Return until when an email address is reserved, or None."""
        return await reserved_emails.find_end(connection, self._digest(email_key))

    async def end(self, connection: Connection, email_keys: Sequence[str]) -> None:
        """End the reservations of email addresses."""
        await reserved_emails.delete_reservations(
            connection, [self._digest(key) for key in email_keys]
        )

    def _digest(self, email_key: str) -> str:
        return self._digests.of(_PURPOSE, email_key)
