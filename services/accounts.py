"""Accounts: register, update, delete. Where the rules meet that make an account."""

import asyncio
import uuid
from datetime import UTC, datetime
from enum import Enum
from functools import partial

from db import tokens, users
from db.rows import UserRow
from rules import emails, names
from rules.errors import DatabaseUnavailable
from rules.field_errors import FieldErrors
from rules.origin import Origin
from rules.password_rules import PasswordRules
from rules.passwords import PasswordHasher
from rules.turns import Caller
from rules.write_turns import WriteTurns
from services.audit import Kind
from services.confirmation import FIELD, Confirmation
from services.core import Core
from services.counts import Reason, TokenCounts
from services.identities import Identities, Identity
from services.registration import check_new_user, insert_new_user
from services.reservations import Reservations
from services.throttle import Throttle
from services.transactions import answer, transaction_on

READY_SECONDS = 1.0
_NO_TOKEN = str(uuid.UUID(int=0))


class Unset(Enum):
    """The value of a field that a change leaves as it is, since None is a value."""

    UNSET = "unset"


UNSET = Unset.UNSET


class Accounts:
    """Registers, updates and deletes accounts."""

    def __init__(
        self,
        core: Core,
        *,
        identities: Identities,
        confirmation: Confirmation,
        hasher: PasswordHasher,
        rules: PasswordRules,
        throttle: Throttle,
        writes: WriteTurns,
        reservations: Reservations,
        counts: TokenCounts,
    ) -> None:
        self._database = core.database
        self._lookups = core.lookups
        self._audit = core.audit
        self._clock = core.clock
        self._identities = identities
        self._hasher = hasher
        self._rules = rules
        self._throttle = throttle
        self._writes = writes
        self._reservations = reservations
        self._confirmation = confirmation
        self._counts = counts

    async def register(
        self, *, email: str, password: str, name: str | None, origin: Origin
    ) -> UserRow:
        """Create a user.

        Raises InvalidFields with all that is wrong, EmailTaken, or TooManyTries.
        """
        tried = self._throttle.registration(origin.ip)
        await self._throttle.check(tried)
        newcomer = check_new_user(self._rules, email=email, password=password, name=name)
        async with self._hasher.slot(Caller.at(origin.ip, emails.email_key(newcomer.email))):
            await self._throttle.charge(tried)
            password_hash = await self._hasher.hash(password)
        async with transaction_on(self._database) as connection:
            user = await insert_new_user(
                connection,
                self._audit,
                self._reservations,
                newcomer,
                password_hash=password_hash,
                kind=Kind.REGISTERED,
                origin=origin,
            )
            await self._throttle.begin(connection, user, origin.ip)
        return user

    async def update(
        self,
        identity: Identity,
        *,
        origin: Origin,
        name: str | Unset | None = UNSET,
        password: str | Unset = UNSET,
        current_password: str | None = None,
    ) -> UserRow:
        """Change name, password or both.

        Raises InvalidFields with all that is wrong, TooManyWrites, TooManyTries or Overloaded.

        ``current_password`` is looked at where it is given, and may be asked for. A new
        password revokes all tokens of the user but the one that was presented.
        """
        changes = self._check_changes(identity, name, password, current_password)
        self._writes.spend_change(identity.credential, identity.user.id)
        if current_password is not None:
            await self._confirmation.check(identity, current_password, origin)
        # Hashed before the turn of the write, and before a connection is taken: nobody waits for
        # either meanwhile.
        password_hash: str | Unset = UNSET
        if password is not UNSET:
            password_hash = await self._hash_new(identity, password, origin)
        async with self._writes.turn(identity.user.id):
            return await self._write(identity, origin, changes, password_hash)

    def _check_changes(
        self,
        identity: Identity,
        name: str | Unset | None,
        password: str | Unset,
        current_password: str | None,
    ) -> str | Unset | None:
        """Return the name to write; raises InvalidFields with all that is wrong."""
        errors = FieldErrors()
        clean_name: str | Unset | None = UNSET
        if name is not UNSET:
            clean_name = errors.check("name", names.normalize_name, name)
        if password is not UNSET:
            own_name = identity.user.name if clean_name is UNSET else clean_name
            own_words = (identity.user.email, own_name or "")
            errors.check("password", partial(self._rules.check, own_words=own_words), password)
            if self._confirmation.is_missing(identity, current_password):
                errors.add(FIELD, "is required")
        errors.raise_if_any()
        return clean_name

    async def _hash_new(self, identity: Identity, password: str, origin: Origin) -> str:
        """Hash a new password; raises Overloaded, or TooManyTries."""
        self._identities.check_hashes(identity.user)
        # The credential proves that the account logged in before.
        account = emails.email_key(identity.user.email)
        async with self._hasher.slot(Caller.at(origin.ip, account, is_known=True)):
            # Again: others of this user may have been hashed while this one waited.
            self._identities.check_hashes(identity.user)
            self._identities.spend_hash(identity.user)
            return await self._hasher.hash(password)

    async def _write(
        self,
        identity: Identity,
        origin: Origin,
        name: str | Unset | None,
        password_hash: str | Unset,
    ) -> UserRow:
        revoked = 0
        async with transaction_on(self._database) as connection:
            user = await self._identities.lock(connection, identity)
            # A name that stays is no change: it leaves no event, and updated_at as it was.
            if name is not UNSET and name != user.name:
                user = await users.update_name(connection, user.id, name)
                await self._audit.write(connection, Kind.NAME_CHANGED, origin, user=user)
            if password_hash is not UNSET:
                user = await users.update_password(connection, user.id, password_hash)
                revoked = await tokens.revoke_all(
                    connection, user.id, at=self._now(), keep=identity.token_id
                )
                await self._audit.write(connection, Kind.PASSWORD_CHANGED, origin, user=user)
        self._counts.revoke(Reason.PASSWORD_CHANGED, revoked)
        return user

    async def delete(
        self, identity: Identity, origin: Origin, *, current_password: str | None = None
    ) -> None:
        """Delete the user and revoke every token.

        Raises TooManyWrites, and as Confirmation.check().
        """
        self._writes.spend(identity.credential)
        await self._confirmation.check(identity, current_password, origin)
        async with (
            self._writes.turn(identity.user.id),
            transaction_on(self._database) as connection,
        ):
            user = await self._identities.lock(connection, identity)
            revoked = await tokens.revoke_and_anonymize(connection, user.id, at=self._now())
            await users.delete_user(connection, user.id)
            await self._reservations.reserve(connection, user)
            await self._throttle.forget(connection, user)
            await self._audit.write(connection, Kind.DELETED, origin, user=user)
        self._counts.revoke(Reason.USER_DELETED, revoked)

    def abandon(self, task: "asyncio.Task[object]") -> None:
        """Drop the hash that a task waits for, unless it has begun: its client went away."""
        self._hasher.abandon(task)

    async def check_ready(self) -> None:
        """Return when Postgres answers a look-up; raises DatabaseUnavailable after a second."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await answer(self._lookups.users_of_tokens.find(_NO_TOKEN))
        except TimeoutError as error:
            raise DatabaseUnavailable from error

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
