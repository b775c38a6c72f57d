"""The verification of an email address through a message to it."""

from db import user_emails
from db.message_rows import ProofRow
from db.rows import UserRow
from rules.message_kinds import MessageKind
from rules.origin import Origin
from services.core import Core
from services.event_kinds import EventKind
from services.identities import Identity
from services.outbox import Outbox
from services.proofs import Proof, Proofs
from services.user_writes import UserWrites

_KINDS = (MessageKind.VERIFICATION,)


class EmailVerification:
    """Sends the message, and verifies its proof."""

    def __init__(self, core: Core, *, writes: UserWrites, outbox: Outbox, proofs: Proofs) -> None:
        self._core = core
        self._writes = writes
        self._outbox = outbox
        self._proofs = proofs

    async def request(self, identity: Identity, origin: Origin) -> None:
        """Store a message; raises TooManyMessages.

        If the address is already verified, the message is counted but not sent.
        """
        async with self._writes.begin(identity) as (transaction, user):
            await self._outbox.request(
                transaction,
                MessageKind.VERIFICATION,
                user.email,
                origin,
                user=None if user.is_email_verified else user,
                requester=user,
            )

    async def confirm(self, identity: Identity, proof: Proof, origin: Origin) -> UserRow:
        """Mark the address as verified; return the user. Raises CodeInvalid.

        Repeatable: a caller may not have received the first response.
        """
        row = await self._proofs.verify(proof, _KINDS, origin, identity)
        return await self.apply(identity, proof, row, origin)

    async def apply(
        self, identity: Identity, proof: Proof, row: ProofRow, origin: Origin
    ) -> UserRow:
        """Mark the address as verified through the proof of a message; return the user."""
        async with self._writes.begin(identity) as (transaction, user):
            # Another request may have used it while this one waited for the row of the user.
            if user.is_email_verified:
                return user
            await self._proofs.spend(transaction, proof, row)
            at = self._core.now()
            verified = await user_emails.verify_email(transaction.connection, user.id, at=at)
            await self._core.audit.write(
                transaction, EventKind.EMAIL_VERIFIED, origin, user=verified
            )
        return verified
