"""Accounts, managed by their users: change, delete."""

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import partial

from db import tokens, users
from db.rows import UserRow
from rules import names
from rules.account_rules import AccountRules
from rules.errors import FieldError
from rules.field_errors import FieldErrors
from rules.hash_budget import HashBudget
from rules.message_kinds import MessageKind
from rules.origin import Origin
from rules.tokens import TokenKind
from services.confirmation import FIELD, Confirmation
from services.core import Core
from services.deletion import delete_account
from services.event_kinds import EventKind, Revocation
from services.identities import Identity, TokenProof
from services.new_users import find_errors
from services.outbox import Outbox
from services.reservations import Reservations
from services.sessions import IssuedSession
from services.throttle import Throttle
from services.transactions import Transaction
from services.user_writes import UserWrites
from settings.choices import Language


class Unset(Enum):
    """The value of a field that is not changed, since None is a value of its own."""

    UNSET = "unset"


UNSET = Unset.UNSET


class Accounts:
    """Changes and deletes accounts."""

    def __init__(
        self,
        core: Core,
        *,
        rules: AccountRules,
        throttle: Throttle,
        hashes: HashBudget,
        writes: UserWrites,
        reservations: Reservations,
        confirmation: Confirmation,
        outbox: Outbox,
    ) -> None:
        self._core = core
        self._audit = core.audit
        self._rules = rules
        self._throttle = throttle
        self._hashes = hashes
        self._writes = writes
        self._reservations = reservations
        self._confirmation = confirmation
        self._outbox = outbox

    def find_errors(self, fields: Mapping[str, str | None]) -> Sequence[FieldError]:
        """Return the errors in the given fields of a user."""
        return find_errors(self._rules, fields)

    async def update(
        self,
        identity: Identity,
        *,
        origin: Origin,
        name: str | Unset | None = UNSET,
        password: str | Unset = UNSET,
        current_password: str | None = None,
        replacement: IssuedSession | None = None,
    ) -> UserRow:
        """Change the name, the password or both.

        Raises InvalidFields with all errors, TooManyWrites, TooManyAttempts or Overloaded.
        ``current_password`` is verified if it is sent, and may be required. A new password
        revokes every token and session except the presented token, and inserts ``replacement``.
        """
        new_name = self._check_changes(identity, name, password, current_password)
        self._writes.spend_change(identity)
        if current_password is not None:
            await self._confirmation.check(identity, current_password, origin)
        # Hashed before the turn and without a connection: other requests may wait for either.
        password_hash = await self._hash_new(identity, password, origin)
        async with self._writes.begin(identity) as (transaction, locked):
            user = await self._write_name(transaction, locked, new_name, origin)
            if password_hash is not UNSET:
                user = await self._write_password(transaction, identity, password_hash, origin)
                if replacement is not None:
                    await _insert_session(transaction, user, replacement)
        return user

    async def set_language(self, identity: Identity, language: Language, origin: Origin) -> None:
        """Set the language of messages to the user; raises TooManyWrites."""
        self._writes.spend_change(identity)
        async with self._writes.begin(identity) as (transaction, user):
            if await users.set_language(transaction.connection, user.id, language):
                await self._audit.write(transaction, EventKind.LANGUAGE_CHANGED, origin, user=user)

    def _check_changes(
        self,
        identity: Identity,
        name: str | Unset | None,
        password: str | Unset,
        current_password: str | None,
    ) -> str | Unset | None:
        """Return the name to write; raises InvalidFields with all errors."""
        errors = FieldErrors()
        clean_name: str | Unset | None = UNSET
        if name is not UNSET:
            clean_name = errors.check("name", names.normalize_name, name)
        if password is not UNSET:
            own_name = identity.user.name if clean_name is UNSET else clean_name
            own_words = (identity.user.email, own_name or "")
            errors.check(
                "password", partial(self._rules.passwords.check, own_words=own_words), password
            )
            if self._confirmation.is_missing(identity, current_password):
                errors.add(FIELD, "is required")
        errors.raise_if_any()
        return clean_name

    async def _hash_new(
        self, identity: Identity, password: str | Unset, origin: Origin
    ) -> str | Unset:
        """Hash a new password, if any; raises Overloaded or TooManyAttempts."""
        if password is UNSET:
            return UNSET
        user = identity.user
        async with self._hashes.slot(identity.caller(origin), user_id=user.id) as slot:
            self._hashes.spend(user.id)
            return await slot.hash(password)

    async def _write_name(
        self,
        transaction: Transaction,
        locked: UserRow,
        name: str | Unset | None,
        origin: Origin,
    ) -> UserRow:
        """Write a new name; an unchanged one writes no event, and leaves updated_at as it is."""
        if name is UNSET or name == locked.name:
            return locked
        user = await users.update_name(transaction.connection, locked.id, name)
        await self._audit.write(transaction, EventKind.NAME_CHANGED, origin, user=user)
        return user

    async def _write_password(
        self, transaction: Transaction, identity: Identity, password_hash: str, origin: Origin
    ) -> UserRow:
        """Write a new password, void messages, and revoke all tokens except the presented one."""
        connection = transaction.connection
        user = await users.update_password(connection, identity.user.id, password_hash)
        await self._outbox.void(transaction, user.id)
        await self._outbox.notify(transaction, MessageKind.PASSWORD_CHANGED, user)
        number = await tokens.revoke_all(
            connection, user.id, at=self._core.now(), keep=_kept_token(identity)
        )
        revoked = (Revocation.PASSWORD_CHANGED, number)
        await self._audit.write(
            transaction, EventKind.PASSWORD_CHANGED, origin, user=user, revoked=revoked
        )
        return user

    async def delete(
        self, identity: Identity, origin: Origin, *, current_password: str | None = None
    ) -> None:
        """Delete the user and revoke every token.

        Raises TooManyWrites, and the errors of Confirmation.check().
        """
        self._writes.spend(identity)
        await self._confirmation.check(identity, current_password, origin)
        async with self._writes.begin(identity) as (transaction, user):
            number = await delete_account(
                transaction,
                user,
                at=self._core.now(),
                reservations=self._reservations,
                throttle=self._throttle,
                outbox=self._outbox,
            )
            revoked = (Revocation.USER_DELETED, number)
            await self._audit.write(
                transaction, EventKind.DELETED, origin, user=user, revoked=revoked
            )


def _kept_token(identity: Identity) -> str | None:
    """Return the id of the token that a new password does not revoke: a session is replaced."""
    proof = identity.proof
    is_token = isinstance(proof, TokenProof) and proof.kind is TokenKind.TOKEN
    return identity.token_id if is_token else None


async def _insert_session(transaction: Transaction, user: UserRow, session: IssuedSession) -> None:
    # No version of the password: the user is locked, and the version has just changed.
    await tokens.insert_token(
        transaction.connection, session.signed.row, user_id=user.id, password_version=None
    )
