"""Users as an administrator sees them, who names them by their e-mail addresses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from db import throttle as counts
from db import tokens, users
from db.pool import Connection
from db.rows import UserRow, UserStateRow
from rules import emails
from rules.field_errors import FieldErrors
from rules.origin import LocalOrigin
from rules.password_rules import PasswordRules
from rules.passwords import PasswordHasher
from rules.turns import Caller
from services.audit import Kind
from services.core import Core
from services.registration import check_new_user, insert_new_user
from services.reservations import Reservations
from services.throttle import Throttle
from services.transactions import connection_to, transaction_on

# An administrator hashes in a process of its own, where nobody else waits.
_ADMINISTRATOR = Caller.at(None, "administrator", is_known=True)


class UserNotFound(Exception):
    """Nobody has that e-mail address."""


@dataclass(frozen=True, slots=True)
class UserDetails:
    """A user, and what else an administrator wants to know of the account.

    ``last_log_in`` is None where the audit trail knows of none.
    """

    state: UserStateRow
    good_tokens: int
    failures_in_a_row: int
    last_log_in: datetime | None


class Users:
    """Administers users, found by their e-mail addresses."""

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
        self._database = core.database
        self._audit = core.audit
        self._clock = core.clock
        self._hasher = hasher
        self._rules = rules
        self._throttle = throttle
        self._reservations = reservations
        self._origin = origin

    async def find_page(
        self, *, after: str, most: int, text: str = "", only_disabled: bool = False
    ) -> list[UserStateRow]:
        """Return users by e-mail address, from behind one on: those who hold a text, if one.

        That somebody read them is an event.
        """
        async with connection_to(self._database) as connection:
            found = await users.find_page(
                connection,
                after=emails.lookup_key(after),
                text=text,
                only_disabled=only_disabled,
                limit=most,
            )
        await self._audit.record(Kind.USERS_LISTED, self._origin)
        return found

    async def get(self, email: str) -> UserDetails:
        """Return what there is to know of a user, which is an event; raises UserNotFound."""
        key = emails.lookup_key(email)
        async with connection_to(self._database) as connection:
            state = await users.find_state(connection, key)
            if state is None:
                raise UserNotFound
            live = await tokens.find_valid(connection, state.id, at=self._now())
            failures = await counts.count_failures(connection, self._throttle.account(key))
        logged_in = await self._audit.find(most=1, user_id=state.id, kind=Kind.LOGGED_IN)
        await self._audit.record(Kind.USER_READ, self._origin, user_id=state.id, email_key=key)
        return UserDetails(
            state=state,
            good_tokens=len(live),
            failures_in_a_row=failures,
            last_log_in=logged_in[0].at if logged_in else None,
        )

    async def add(self, email: str, password: str, name: str | None) -> UserRow:
        """Make a user, by the rules of a registration; a reservation of the address ends.

        Raises InvalidFields with all that is wrong, or EmailTaken.
        """
        newcomer = check_new_user(self._rules, email=email, password=password, name=name)
        async with self._hasher.slot(_ADMINISTRATOR):
            password_hash = await self._hasher.hash(password)
        async with transaction_on(self._database) as connection:
            return await insert_new_user(
                connection,
                self._audit,
                self._reservations,
                newcomer,
                password_hash=password_hash,
                kind=Kind.ADDED,
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
        # Hashed before a connection is taken: nobody waits for one meanwhile.
        async with self._hasher.slot(_ADMINISTRATOR):
            password_hash = await self._hasher.hash(password)
        async with transaction_on(self._database) as connection:
            # By id: another account may have the address by now, which must not get the password.
            user = await _lock(connection, state.id)
            await users.update_password(connection, user.id, password_hash)
            await tokens.revoke_all(connection, user.id, at=self._now())
            await self._throttle.reset(connection, user)
            await self._write(connection, Kind.PASSWORD_CHANGED, user)

    async def disable(self, email: str) -> None:
        """Keep a user out, and revoke every token; raises UserNotFound."""
        async with self._locked(email) as (connection, user):
            is_new = await users.disable(connection, user.id, at=self._now())
            ended = await tokens.revoke_all(connection, user.id, at=self._now())
            if is_new or ended:
                await self._write(connection, Kind.DISABLED, user)

    async def enable(self, email: str) -> None:
        """Let a user in again, and set the failures in a row back; raises UserNotFound."""
        async with self._locked(email) as (connection, user):
            account = self._throttle.account(emails.email_key(user.email))
            failures = await counts.count_failures(connection, account)
            await self._throttle.reset(connection, user)
            if await users.enable(connection, user.id) or failures:
                await self._write(connection, Kind.ENABLED, user)

    async def end_tokens(self, email: str) -> int:
        """Revoke every token of a user; return how many were good. Or UserNotFound."""
        async with self._locked(email) as (connection, user):
            ended = await tokens.revoke_all(connection, user.id, at=self._now())
            if ended:
                await self._write(connection, Kind.TOKENS_ENDED, user)
        return ended

    async def delete(self, email: str) -> None:
        """Delete a user and revoke every token; raises UserNotFound."""
        async with self._locked(email) as (connection, user):
            await tokens.revoke_and_anonymize(connection, user.id, at=self._now())
            await users.delete_user(connection, user.id)
            await self._reservations.reserve(connection, user)
            await self._throttle.forget(connection, user)
            await self._write(connection, Kind.DELETED, user)

    @asynccontextmanager
    async def _locked(self, email: str) -> AsyncIterator[tuple[Connection, UserRow]]:
        """Lend a transaction that holds the lock on a user's row."""
        async with transaction_on(self._database) as connection:
            state = await users.find_state(connection, emails.lookup_key(email))
            if state is None:
                raise UserNotFound
            yield connection, await _lock(connection, state.id)

    async def _write(self, connection: Connection, kind: Kind, user: UserRow) -> None:
        await self._audit.write(connection, kind, self._origin, user=user)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


async def _lock(connection: Connection, user_id: str) -> UserRow:
    """Lock a user's row; raises UserNotFound where the user was deleted meanwhile."""
    locked = await users.find_for_update(connection, user_id)
    if locked is None:
        raise UserNotFound
    return locked.user
