"""Changes of an email address: confirmed at the new address, announced at the old one.

The message at the old address undoes the change for seven days; until then no other user gets
that address. An old address that was never verified gets no message: it may belong to a stranger.
"""

from db import users
from db.message_rows import ProofRow
from db.rows import UserRow
from rules import emails
from rules.account_rules import AccountRules
from rules.errors import EmailTaken, FieldError, InvalidFields
from rules.field_errors import FieldErrors
from rules.message_kinds import MessageKind
from rules.origin import Origin
from services.confirmation import Confirmation
from services.core import Core
from services.email_writes import write_email
from services.event_kinds import EventKind
from services.identities import Identity
from services.outbox import Outbox
from services.proofs import Proof, Proofs
from services.reservations import Reservations
from services.throttle import Throttle
from services.transactions import Transaction
from services.user_writes import UserWrites

_KINDS = (MessageKind.EMAIL_CHANGE,)


class EmailChange:
    """Requests and confirms a change of address."""

    def __init__(
        self,
        core: Core,
        *,
        rules: AccountRules,
        throttle: Throttle,
        writes: UserWrites,
        confirmation: Confirmation,
        reservations: Reservations,
        outbox: Outbox,
        proofs: Proofs,
    ) -> None:
        self._core = core
        self._rules = rules
        self._throttle = throttle
        self._writes = writes
        self._confirmation = confirmation
        self._reservations = reservations
        self._outbox = outbox
        self._proofs = proofs

    async def request(
        self, identity: Identity, email: str, current_password: str, origin: Origin
    ) -> None:
        """Store a message to the new address, which is not sent if the address is taken.

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
        row = await self._proofs.verify(proof, _KINDS, origin, identity)
        return await self.apply(identity, proof, row, origin)

    async def apply(
        self, identity: Identity, proof: Proof, row: ProofRow, origin: Origin
    ) -> UserRow:
        """Change the address through the proof of a message; return the user."""
        async with self._writes.begin(identity) as (transaction, user):
            if user.email == row.recipient:
                return user
            await self._proofs.spend(transaction, proof, row)
            return await self._change(transaction, user, row, origin)

    def _check(self, user: UserRow, email: str) -> str:
        errors = FieldErrors()
        address = errors.check("email", self._rules.normalize_email, email) or ""
        errors.raise_if_any()
        if address == user.email:
            raise InvalidFields([FieldError("email", "is already the address of the account")])
        return address

    async def _is_free(self, transaction: Transaction, address: str, user: UserRow) -> bool:
        owner = await users.find_state(transaction.connection, emails.email_key(address))
        # Checked in any case: the time must not reveal that another user has the address.
        is_reserved = await self._is_reserved(transaction, address, user)
        return not is_reserved if owner is None else owner.id == user.id

    async def _is_reserved(self, transaction: Transaction, address: str, user: UserRow) -> bool:
        return await self._reservations.holds(
            transaction.connection,
            emails.email_key(address),
            now=self._core.now(),
            except_user_id=user.id,
        )

    async def _change(
        self, transaction: Transaction, old: UserRow, row: ProofRow, origin: Origin
    ) -> UserRow:
        user = await write_email(
            transaction, self._throttle, old, row.recipient, at=self._core.now()
        )
        # The reservation is checked after the write: see services/reservations.py.
        if user is None or await self._is_reserved(transaction, user.email, user):
            raise EmailTaken
        await self._outbox.void(transaction, user.id)
        if old.is_email_verified and self._outbox.is_on:
            await self._outbox.add(transaction, MessageKind.EMAIL_UNDO, user, recipient=old.email)
        await self._core.audit.write(transaction, EventKind.EMAIL_CHANGED, origin, user=user)
        return user
