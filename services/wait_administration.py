"""The administration of waits after failed attempts."""

from collections.abc import Sequence
from dataclasses import replace

from db import counts
from rules import emails
from rules.origin import LocalOrigin
from services.core import Core
from services.event_kinds import EventKind
from services.named_users import UserNotFound, find_user, is_user_id
from services.transactions import transaction_on
from services.waits import Wait, Waits


class WaitAdministration:
    """Lists and ends waits, with an event for each command."""

    def __init__(self, core: Core, waits: Waits, origin: LocalOrigin) -> None:
        self._core = core
        self._waits = waits
        self._origin = origin

    async def find_all(self, ips: Sequence[str], *, limit: int) -> list[Wait]:
        """Return all waits, and resolve those of some IP addresses."""
        found = await self._waits.find_all(ips, limit=limit)
        await self._core.audit.record(EventKind.THROTTLE_READ, self._origin)
        return found

    async def end_for_user(self, email_or_id: str, ips: Sequence[str]) -> int:
        """End the waits of an account; return how many counts were not 0.

        Waits in unknown networks do not end: see Waits.end_for_account(). The email address need
        not belong to a user. Raises UserNotFound for an unknown id.
        """
        async with transaction_on(self._core.database) as transaction:
            user = await find_user(transaction.connection, email_or_id)
            if user is None and is_user_id(email_or_id):
                raise UserNotFound
            key = emails.lookup_key(user.email if user else email_or_id)
            ended = await self._waits.end_for_account(transaction.connection, key, ips)
            if ended:
                await self._core.audit.write(
                    transaction,
                    EventKind.THROTTLE_CLEARED,
                    self._origin,
                    user_id=user.id if user else None,
                    email_key=key,
                )
        return ended

    async def end_for_address(self, ip: str) -> int:
        """End the waits of an IP address for all accounts; return how many counts were not 0."""
        async with transaction_on(self._core.database) as transaction:
            ended = await self._waits.end_for_address(transaction.connection, ip)
            if ended:
                # The subject of the event, so that a search by IP address finds it.
                origin = replace(self._origin, ip=ip)
                await self._core.audit.write(transaction, EventKind.THROTTLE_CLEARED, origin)
        return ended

    async def end_one(self, subject: str) -> int:
        """End one wait, given by the name of its count; return 1 if the count was not 0."""
        async with transaction_on(self._core.database) as transaction:
            ended = await counts.reset_counts(transaction.connection, [subject])
            if ended:
                await self._core.audit.write(
                    transaction, EventKind.THROTTLE_CLEARED, self._origin, key_id=subject
                )
        return ended
