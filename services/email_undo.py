"""The undo of a change of the email address, through the message to the old one."""

from db import tokens, user_messages, users
from db.message_rows import ProofRow
from db.rows import UserRow
from rules.message_kinds import MessageKind
from rules.origin import Origin
from rules.passwords import PasswordHasher
from services.core import Core
from services.email_writes import write_email
from services.event_kinds import EventKind, Revocation
from services.outbox import Outbox
from services.proofs import Proof, Proofs
from services.throttle import Throttle
from services.transactions import Transaction, transaction_on

_KINDS = (MessageKind.EMAIL_UNDO,)


class EmailUndo:
    """Restores the old address of a user whose account may have been taken over."""

    def __init__(
        self,
        core: Core,
        *,
        throttle: Throttle,
        hasher: PasswordHasher,
        outbox: Outbox,
        proofs: Proofs,
    ) -> None:
        self._core = core
        self._throttle = throttle
        self._hasher = hasher
        self._outbox = outbox
        self._proofs = proofs

    async def undo(self, proof: Proof, origin: Origin) -> None:
        """Restore the old address, revoke every token, disable the password, and send a reset.

        Raises CodeInvalid or TooManyAttempts.
        """
        row = await self._proofs.verify(proof, _KINDS, origin)
        async with transaction_on(self._core.database) as transaction:
            locked = await users.find_for_update(transaction.connection, row.user.id)
            if locked is None or locked.is_disabled:
                raise proof.rejection
            await self._proofs.spend(transaction, proof, row)
            user = await self._restore(transaction, proof, locked.user, row)
            await self._disable_password(transaction, user, row, origin)

    async def _restore(
        self, transaction: Transaction, proof: Proof, changed: UserRow, row: ProofRow
    ) -> UserRow:
        user = await write_email(
            transaction, self._throttle, changed, row.recipient, at=self._core.now()
        )
        if user is None:
            raise proof.rejection
        return user

    async def _disable_password(
        self, transaction: Transaction, user: UserRow, row: ProofRow, origin: Origin
    ) -> None:
        """Shut out the person who changed the address.

        That person may have chosen the addresses to which the undo messages of later changes were
        sent. Messages about earlier changes stay valid: this undo may itself be an abuse, which the
        owner can undo with one of them.
        """
        connection, at = transaction.connection, self._core.now()
        await users.update_password(connection, user.id, self._hasher.scheme.unusable())
        number = await tokens.revoke_all(connection, user.id, at=at)
        await self._outbox.void(transaction, user.id)
        await user_messages.void_later_undos(connection, row.id, at=at)
        if self._outbox.is_on:
            # The user needs it to log in again, however many messages were sent before.
            await self._outbox.add(transaction, MessageKind.UNDO_RESET, user)
        revoked = (Revocation.EMAIL_RESTORED, number)
        await self._core.audit.write(
            transaction, EventKind.EMAIL_RESTORED, origin, user=user, revoked=revoked
        )
