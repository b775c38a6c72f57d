"""The change of an email address: confirmed at the new one, announced at the old one.

The message at the old address takes the change back for seven days; until then no other user gets
that address. An old address that was never verified gets no message: it may belong to a stranger.
"""

from db import tokens, users
from db.rows import ProofRow, UserRow
from rules import emails
from rules.account_rules import AccountRules
from rules.errors import CodeInvalid, EmailTaken, FieldError, InvalidFields
from rules.field_errors import FieldErrors
from rules.message_kinds import MessageKind
from rules.origin import Origin
from rules.passwords import PasswordHasher
from services.confirmation import Confirmation
from services.core import Core
from services.event_kinds import EventKind, Revocation
from services.identities import Identity
from services.outbox import Outbox
from services.proofs import Proof, Proofs
from services.reservations import Reservations
from services.throttle import Throttle
from services.transactions import Transaction, transaction_on
from services.user_writes import UserWrites

_CHANGE, _UNDO = (MessageKind.EMAIL_CHANGE,), (MessageKind.EMAIL_UNDO,)


class EmailChange:
    """Requests, confirms and takes back a change of address."""

    def __init__(
        self,
        core: Core,
        *,
        rules: AccountRules,
        throttle: Throttle,
        hasher: PasswordHasher,
        writes: UserWrites,
        confirmation: Confirmation,
        reservations: Reservations,
        outbox: Outbox,
        proofs: Proofs,
    ) -> None:
        self._core = core
        self._rules = rules
        self._throttle = throttle
        self._hasher = hasher
        self._writes = writes
        self._confirmation = confirmation
        self._reservations = reservations
        self._outbox = outbox
        self._proofs = proofs

    async def request(
        self, identity: Identity, email: str, current_password: str, origin: Origin
    ) -> None:
        """Store a message to the new address; to a taken one nothing is sent.

        Raises InvalidFields, CurrentPasswordWrong, or TooManyMessages.
        """
        address = self._check(identity.user, email)
        await self._confirmation.check(identity, current_password, origin)
        async with self._writes.begin(identity) as (transaction, user):
            is_free = await self._is_free(transaction, address, user)
            await self._outbox.request(
                transaction,
                MessageKind.EMAIL_CHANGE,
                address,
                origin,
                user=user if is_free else None,
                requester=user,
            )

    async def confirm(self, identity: Identity, proof: Proof, origin: Origin) -> UserRow:
        """Change the address; return the user. Raises CodeInvalid, or EmailTaken.

        Repeatable: a caller may not have received the first response.
        """
        row = await self._proofs.verify(proof, _CHANGE, origin, identity)
        if row.is_used:
            return await self._repeat(row)
        async with self._writes.begin(identity) as (transaction, user):
            if user.email == row.recipient:
                return user
            await self._proofs.spend(transaction, row)
            return await self._change(transaction, user, row, origin)

    async def undo(self, proof: Proof, origin: Origin) -> None:
        """Restore the old address, revoke every token, disable the password, and send a reset.

        Raises CodeInvalid.
        """
        row = await self._proofs.verify(proof, _UNDO, origin)
        if row.is_used:
            raise CodeInvalid
        async with transaction_on(self._core.database) as transaction:
            locked = await users.find_for_update(transaction.connection, row.user.id)
            if locked is None or locked.is_disabled:
                raise CodeInvalid
            await self._proofs.spend(transaction, row)
            await self._restore(transaction, locked.user, row, origin)

    def _check(self, user: UserRow, email: str) -> str:
        errors = FieldErrors()
        address = errors.check("email", self._rules.normalize_email, email) or ""
        errors.raise_if_any()
        if address == user.email:
            raise InvalidFields([FieldError("email", "is the address of the account already")])
        return address

    async def _repeat(self, row: ProofRow) -> UserRow:
        if row.user.email != row.recipient:
            raise CodeInvalid
        return row.user

    async def _is_free(self, transaction: Transaction, address: str, user: UserRow) -> bool:
        key = emails.email_key(address)
        if key == emails.email_key(user.email):
            return True
        found = await users.find_state(transaction.connection, key)
        if found is not None:
            return False
        return not await self._reservations.holds(
            transaction.connection, key, except_user_id=user.id
        )

    async def _change(
        self, transaction: Transaction, old: UserRow, row: ProofRow, origin: Origin
    ) -> UserRow:
        if not await self._is_free(transaction, row.recipient, old):
            raise EmailTaken
        user = await self._set_email(transaction, old, row.recipient)
        await self._outbox.void(transaction, user.id)
        if old.is_email_verified and self._outbox.is_on:
            await self._outbox.add(transaction, MessageKind.EMAIL_UNDO, user, recipient=old.email)
        await self._core.audit.write(transaction, EventKind.EMAIL_CHANGED, origin, user=user)
        return user

    async def _restore(
        self, transaction: Transaction, changed: UserRow, row: ProofRow, origin: Origin
    ) -> None:
        connection = transaction.connection
        try:
            user = await self._set_email(transaction, changed, row.recipient)
        except EmailTaken as error:
            raise CodeInvalid from error
        await users.update_password(connection, user.id, self._hasher.scheme.unusable())
        number = await tokens.revoke_all(connection, user.id, at=self._core.now())
        await self._outbox.void(transaction, user.id, also_undo=True)
        if self._outbox.is_on:
            await self._outbox.add(transaction, MessageKind.PASSWORD_RESET, user)
        revoked = (Revocation.EMAIL_RESTORED, number)
        await self._core.audit.write(
            transaction, EventKind.EMAIL_RESTORED, origin, user=user, revoked=revoked
        )

    async def _set_email(self, transaction: Transaction, old: UserRow, email: str) -> UserRow:
        """Write a verified address, and move the counts of failures to it; raises EmailTaken."""
        key = emails.email_key(email)
        user = await users.update_email(
            transaction.connection, old.id, email=email, email_key=key, at=self._core.now()
        )
        if user is None:
            raise EmailTaken
        await self._throttle.move_count(transaction.connection, old, user)
        return user
