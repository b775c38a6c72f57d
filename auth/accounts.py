"""Accounts: register, update, delete. Where the rules meet that make an account."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from functools import partial

from auth import names
from auth.audit import AuditTrail, Kind
from auth.counts import Reason, TokenCounts
from auth.database import answer, transaction_on
from auth.enrollment import check_newcomer, insert_newcomer
from auth.errors import DatabaseUnavailable, FieldError, InvalidFields
from auth.field_errors import FieldErrors
from auth.identities import Identities, Identity
from auth.origin import Origin
from auth.password_rules import PasswordRules
from auth.passwords import PasswordHasher
from auth.throttle import Throttle
from db import tokens, users
from db.lookups import Lookups
from db.pool import Database
from db.rows import UserRow

READY_SECONDS = 1.0
_NO_TOKEN = str(uuid.UUID(int=0))


class Unset(Enum):
    """The value of a field that a change leaves as it is, since None is a value."""

    UNSET = "unset"


UNSET = Unset.UNSET


class Accounts:
    """What can be done with accounts. ``clock`` returns the time in UTC seconds."""

    def __init__(
        self,
        *,
        database: Database,
        lookups: Lookups,
        identities: Identities,
        hasher: PasswordHasher,
        rules: PasswordRules,
        throttle: Throttle,
        audit: AuditTrail,
        clock: Callable[[], float],
        current_required: bool,
        counts: TokenCounts,
    ) -> None:
        self._database = database
        self._lookups = lookups
        self._identities = identities
        self._hasher = hasher
        self._rules = rules
        self._throttle = throttle
        self._audit = audit
        self._clock = clock
        self._current_required = current_required
        self._counts = counts

    async def register(
        self, *, email: str, password: str, name: str | None, origin: Origin
    ) -> UserRow:
        """Create a user.

        Raises InvalidFields with all that is wrong, EmailTaken, or TooManyTries.
        """
        tried = self._throttle.registration(origin.ip)
        await self._throttle.check(tried)
        newcomer = check_newcomer(self._rules, email=email, password=password, name=name)

        async def charge() -> None:
            await self._throttle.charge(tried)

        with self._hasher.place():
            password_hash = await self._hasher.hash(password, charge)
        async with transaction_on(self._database) as connection:
            user = await insert_newcomer(
                connection,
                self._audit,
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
        """Change name, password or both. Raises InvalidFields with all that is wrong.

        ``current_password`` is looked at where it is given, and may be asked for. A new
        password revokes all tokens of the user but the one that was presented.
        """
        errors = FieldErrors()
        clean_name: str | Unset | None = UNSET
        if name is not UNSET:
            clean_name = errors.check("name", names.normalize_name, name)
        if password is not UNSET:
            own_name = identity.user.name if name is UNSET else name
            own_words = (identity.user.email, own_name or "")
            errors.check("password", partial(self._rules.check, own_words=own_words), password)
            if current_password is None and self._current_required:
                errors.add("current_password", "is required")
        errors.raise_if_any()
        if current_password is not None:
            await self._check_current(identity, current_password, origin)
        # Hashed before a connection is taken: nobody waits for one meanwhile.
        password_hash: str | Unset = UNSET
        if password is not UNSET:
            with self._hasher.place():
                password_hash = await self._hasher.hash(password)
        revoked = 0
        async with transaction_on(self._database) as connection:
            user = await self._identities.lock(connection, identity)
            # A name that stays is no change: it leaves no event, and updated_at as it was.
            if clean_name is not UNSET and clean_name != user.name:
                user = await users.update_name(connection, user.id, clean_name)
                await self._audit.write(connection, Kind.NAME_CHANGED, origin, user=user)
            if password_hash is not UNSET:
                user = await users.update_password(connection, user.id, password_hash)
                revoked = await tokens.revoke_all(
                    connection, user.id, at=self._now(), keep=identity.token_id
                )
                await self._audit.write(connection, Kind.PASSWORD_CHANGED, origin, user=user)
        self._counts.revoke(Reason.PASSWORD_CHANGED, revoked)
        return user

    async def delete(self, identity: Identity, origin: Origin) -> None:
        """Delete the user and revoke every token."""
        async with transaction_on(self._database) as connection:
            user = await self._identities.lock(connection, identity)
            revoked = await tokens.forget_user(connection, user.id, at=self._now())
            await users.delete_user(connection, user.id)
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

    async def _check_current(self, identity: Identity, password: str, origin: Origin) -> None:
        if not await self._identities.prove_again(identity, password, origin):
            raise InvalidFields([FieldError("current_password", "is not the current password")])

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
