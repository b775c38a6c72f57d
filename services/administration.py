"""Administration of users, named by their email addresses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from db import counts, tokens, users
from db.events import EventFilter
from db.pool import Connection
from db.rows import UserRow, UserStateRow
from rules import emails
from rules.field_errors import FieldErrors
from rules.origin import LocalOrigin
from rules.password_rules import PasswordRules
from rules.passwords import PasswordHasher
from rules.turns import Caller
from services.core import Core
from services.deletion import delete_account
from services.event_kinds import EventKind
from services.registration import check_new_user, insert_new_user
from services.reservations import Reservations
from services.throttle import Throttle
from services.transactions import Transaction, connection_to, transaction_on

# The process of a command hashes for no other caller.
_ADMINISTRATOR = Caller.at(None, "administrator", is_known=True)


class UserNotFound(Exception):
    """No user has that email address."""


@dataclass(frozen=True, slots=True)
class UserDetails:
    """A user, and the state of the account.

    ``last_log_in`` is None if the audit trail contains none.
    """

    state: UserStateRow
    valid_tokens: int
    consecutive_failures: int
    last_log_in: datetime | None


class Administration:
    """Reads and changes users for an administrator, who names them by email address."""

    def __init__(
        self,
        core: Core,
        *,
        hasher: PasswordHasher,
        rules: PasswordRules,
        throttle: Throttle,
        reservations: Reservations,
        origin: LocalOrigin,
    ) -> None:
        self._core = core
        self._database = core.database
        self._audit = core.audit
        self._hasher = hasher
        self._rules = rules
        self._throttle = throttle
        self._reservations = reservations
        self._origin = origin

    async def find_page(
        self, *, after: str, limit: int, text: str = "", only_disabled: bool = False
    ) -> list[UserStateRow]:
        """Return users in the order of their email addresses, from the one after ``after``.

        Those whose address or name contains a text, if one is given. Writes an event.
        """
        async with connection_to(self._database) as connection:
            found = await users.find_page(
                connection,
                after=emails.lookup_key(after),
                text=text,
                only_disabled=only_disabled,
                limit=limit,
            )
        await self._audit.record(EventKind.USERS_LISTED, self._origin)
        return found

    async def get(self, email: str) -> UserDetails:
        """Return the state of a user, and write an event; raises UserNotFound."""
        key = emails.lookup_key(email)
        async with connection_to(self._database) as connection:
            state = await users.find_state(connection, key)
            if state is None:
                raise UserNotFound
            valid = await tokens.find_valid(connection, state.id, at=self._core.now())
            failures = await counts.count_failures(connection, self._throttle.account(key))
        log_ins = EventFilter(user_id=state.id, kind=EventKind.LOGGED_IN)
        last = await self._audit.find(log_ins, limit=1)
        await self._audit.record(EventKind.USER_READ, self._origin, user_id=state.id, email_key=key)
        return UserDetails(
            state=state,
            valid_tokens=len(valid),
            consecutive_failures=failures,
            last_log_in=last[0].at if last else None,
        )

    async def add(self, email: str, password: str, name: str | None) -> UserRow:
        """Create a user by the rules of a registration, and end a reservation of the address.

        Raises InvalidFields with all errors, or EmailTaken.
        """
        new_user = check_new_user(self._rules, email=email, password=password, name=name)
        async with self._hasher.slot(_ADMINISTRATOR) as slot:
            password_hash = await slot.hash(password)
        async with transaction_on(self._database) as transaction:
            return await insert_new_user(
                transaction,
                self._audit,
                self._reservations,
                new_user,
                password_hash=password_hash,
                kind=EventKind.ADDED,
                origin=self._origin,
            )

    async def set_password(self, email: str, password: str) -> None:
        """Set a new password, and revoke every token; raises UserNotFound, or InvalidFields."""
        async with connection_to(self._database) as connection:
            state = await users.find_state(connection, emails.lookup_key(email))
        if state is None:
            raise UserNotFound
        errors = FieldErrors()
        own_words = (state.email, state.name or "")
        errors.check("password", partial(self._rules.check, own_words=own_words), password)
        errors.raise_if_any()
        # Hashed without a connection: no other statement waits for one meanwhile.
        async with self._hasher.slot(_ADMINISTRATOR) as slot:
            password_hash = await slot.hash(password)
        async with transaction_on(self._database) as transaction:
            connection = transaction.connection
            # By id: another account may have the address by now, which must not get the password.
            user = await _lock(connection, state.id)
            await users.update_password(connection, user.id, password_hash)
            await tokens.revoke_all(connection, user.id, at=self._core.now())
            await self._throttle.reset(connection, user)
            await self._write(transaction, EventKind.PASSWORD_CHANGED, user)

    async def disable(self, email: str) -> None:
        """Disable a user and revoke every token; raises UserNotFound."""
        async with self._locked(email) as (transaction, user):
            connection = transaction.connection
            is_new = await users.disable(connection, user.id, at=self._core.now())
            revoked = await tokens.revoke_all(connection, user.id, at=self._core.now())
            if is_new or revoked:
                await self._write(transaction, EventKind.DISABLED, user)

    async def enable(self, email: str) -> None:
        """Enable a user, and reset the consecutive failures; raises UserNotFound."""
        async with self._locked(email) as (transaction, user):
            connection = transaction.connection
            account = self._throttle.account(emails.email_key(user.email))
            failures = await counts.count_failures(connection, account)
            await self._throttle.reset(connection, user)
            if await users.enable(connection, user.id) or failures:
                await self._write(transaction, EventKind.ENABLED, user)

    async def revoke_tokens(self, email: str) -> int:
        """Revoke every token of a user; return how many were valid. Raises UserNotFound."""
        async with self._locked(email) as (transaction, user):
            revoked = await tokens.revoke_all(transaction.connection, user.id, at=self._core.now())
            if revoked:
                await self._write(transaction, EventKind.TOKENS_REVOKED, user)
        return revoked

    async def delete(self, email: str) -> None:
        """Delete a user and revoke every token; raises UserNotFound."""
        async with self._locked(email) as (transaction, user):
            await delete_account(
                transaction,
                user,
                at=self._core.now(),
                reservations=self._reservations,
                throttle=self._throttle,
            )
            await self._write(transaction, EventKind.DELETED, user)

    @asynccontextmanager
    async def _locked(self, email: str) -> AsyncIterator[tuple[Transaction, UserRow]]:
        """Begin a transaction that locks a user's row; commit at the end of the block."""
        async with transaction_on(self._database) as transaction:
            connection = transaction.connection
            state = await users.find_state(connection, emails.lookup_key(email))
            if state is None:
                raise UserNotFound
            yield transaction, await _lock(connection, state.id)

    async def _write(self, transaction: Transaction, kind: EventKind, user: UserRow) -> None:
        await self._audit.write(transaction, kind, self._origin, user=user)


async def _lock(connection: Connection, user_id: str) -> UserRow:
    """Lock a user's row; raises UserNotFound if the user was deleted meanwhile."""
    locked = await users.find_for_update(connection, user_id)
    if locked is None:
        raise UserNotFound
    return locked.user
