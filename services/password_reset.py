"""The reset of a forgotten password, through a message to the email address of the account."""

from functools import partial

from db import tokens, user_emails, users
from db.message_rows import ProofRow
from db.rows import UserRow
from rules import emails
from rules.account_rules import AccountRules
from rules.field_errors import FieldErrors
from rules.hash_budget import HashBudget
from rules.message_kinds import RESETS, MessageKind
from rules.origin import Origin
from rules.turns import Caller
from services.core import Core
from services.event_kinds import EventKind, Revocation
from services.outbox import Outbox
from services.proofs import Proof, Proofs
from services.throttle import Throttle
from services.transactions import Transaction, result_of, transaction_on


class PasswordReset:
    """Sends the message, and sets the new password."""

    def __init__(
        self,
        core: Core,
        *,
        rules: AccountRules,
        throttle: Throttle,
        hashes: HashBudget,
        outbox: Outbox,
        proofs: Proofs,
    ) -> None:
        self._core = core
        self._rules = rules
        self._throttle = throttle
        self._hashes = hashes
        self._outbox = outbox
        self._proofs = proofs

    async def request(self, email: str, origin: Origin) -> str:
        """Store a message; return its id. Raises InvalidFields or TooManyMessages.

        For an unknown address, and for a disabled user, the same statements are executed, and
        nothing is sent.
        """
        errors = FieldErrors()
        # With any settings, a user who was accepted once can reset the password.
        normalize = partial(emails.normalize_email, allow_internal=True)
        address = errors.check("email", normalize, email) or ""
        errors.raise_if_any()
        key = emails.email_key(address)
        stored = await result_of(self._core.lookups.users_by_email.find(key))
        user = stored.user if stored is not None else None
        async with transaction_on(self._core.database) as transaction:
            message_id = await self._outbox.request(
                transaction,
                MessageKind.PASSWORD_RESET,
                # Not as typed: an address in another case may be another mailbox.
                user.email if user is not None else address,
                origin,
                user=user,
            )
            await self._core.audit.write(
                transaction, EventKind.RESET_REQUESTED, origin, user=user, email_key=key
            )
        return message_id

    async def confirm(self, proof: Proof, password: str, origin: Origin) -> None:
        """Set a new password, and revoke every token.

        The order is that of the contract: a rejected password uses no message, and counts no code.
        Raises InvalidFields, CodeInvalid, TooManyAttempts or Overloaded.
        """
        self._rules.check_password(password, ())
        row = await self._proofs.verify(proof, RESETS, origin)
        self._rules.check_password(password, (row.user.email, row.user.name or ""))
        caller = Caller.at(origin.ip, emails.email_key(row.user.email), is_known=True)
        async with self._hashes.slot(caller, user_id=row.user.id) as slot:
            self._hashes.spend(row.user.id)
            password_hash = await slot.hash(password)
        async with transaction_on(self._core.database) as transaction:
            await self._set_password(transaction, proof, row, password_hash, origin)

    async def _set_password(
        self,
        transaction: Transaction,
        proof: Proof,
        row: ProofRow,
        password_hash: str,
        origin: Origin,
    ) -> None:
        connection = transaction.connection
        locked = await users.find_for_update(connection, row.user.id)
        if locked is None or locked.is_disabled or locked.password_version != row.password_version:
            raise proof.rejection
        await self._proofs.spend(transaction, proof, row)
        await self._prove_address(transaction, locked.user, row)
        user = await users.update_password(connection, row.user.id, password_hash)
        number = await tokens.revoke_all(connection, user.id, at=self._core.now())
        await self._outbox.void(transaction, user.id)
        await self._throttle.delete_counts(connection, user, origin.ip)
        await self._outbox.notify(transaction, MessageKind.PASSWORD_CHANGED, user)
        revoked = (Revocation.PASSWORD_CHANGED, number)
        await self._core.audit.write(
            transaction, EventKind.PASSWORD_RESET, origin, user=user, revoked=revoked
        )

    async def _prove_address(self, transaction: Transaction, user: UserRow, row: ProofRow) -> None:
        """Mark the address as verified; the first proof also removes the name.

        A stranger may have registered the address before, and have chosen the name; that of an
        invited user is from an administrator.
        """
        if user.is_email_verified:
            return
        if row.kind != MessageKind.INVITATION:
            await users.update_name(transaction.connection, user.id, None)
        await user_emails.verify_email(transaction.connection, user.id, at=self._core.now())
