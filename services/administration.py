"""Administration of users, named by email address or id."""

from dataclasses import dataclass
from datetime import datetime

from db import tokens, user_emails, users
from db.events import EventFilter
from db.pool import Connection
from db.rows import UserRow, UserStateRow
from rules import emails
from rules.account_rules import AccountRules
from rules.message_kinds import MessageKind
from rules.origin import LocalOrigin
from rules.passwords import PasswordHasher
from rules.turns import Caller
from services.core import Core
from services.deletion import delete_account
from services.event_kinds import EventKind
from services.named_users import get_user, is_user_id, locked_user
from services.new_users import NewUsers
from services.outbox import Outbox
from services.reservations import Reservations
from services.throttle import Throttle
from services.transactions import Transaction, connection_to, transaction_on
from services.waits import Waits

# The process of a command hashes for no other caller.
_ADMINISTRATOR = Caller.at(None, "administrator", is_known=True)


@dataclass(frozen=True, slots=True)
class UserDetails:
    """A user, and the state of the account.

    ``last_login`` is None if the audit trail contains none.
    """

    state: UserStateRow
    valid_tokens: int
    consecutive_failures: int
    last_login: datetime | None


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the user with an email address; ``is_new`` is False for one made before.

    ``ended_waits`` is the number of counts of failed attempts that were not 0.
    """

    email: str
    is_new: bool
    revoked_tokens: int = 0
    ended_waits: int = 0


class Administration:
    """Reads and changes users for an administrator, who names them by email address or id."""

    def __init__(
        self,
        core: Core,
        *,
        hasher: PasswordHasher,
        rules: AccountRules,
        throttle: Throttle,
        reservations: Reservations,
        waits: Waits,
        outbox: Outbox,
        origin: LocalOrigin,
    ) -> None:
        self._core = core
        self._database = core.database
        self._audit = core.audit
        self._hasher = hasher
        self._rules = rules
        self._throttle = throttle
        self._reservations = reservations
        self._waits = waits
        self._outbox = outbox
        self._new_users = NewUsers(core, rules, reservations)
        self._origin = origin

    async def find_page(
        self, *, after: str, limit: int, text: str = "", only_disabled: bool = False
    ) -> list[UserStateRow]:
        """Return users in the order of their email addresses, from the one after ``after``.

        With ``text``, only users whose email address, name or id contains it. ``after`` is an
        email address or an id; raises UserNotFound for an unknown id. Writes an event.
        """
        async with connection_to(self._database) as connection:
            found = await users.find_page(
                connection,
                after=await _sort_key(connection, after),
                text=text,
                only_disabled=only_disabled,
                limit=limit,
            )
        await self._audit.record(EventKind.USERS_LISTED, self._origin)
        return found

    async def get(self, email_or_id: str) -> UserDetails:
        """Return the state of a user, and write an event; raises UserNotFound."""
        async with connection_to(self._database) as connection:
            state = await get_user(connection, email_or_id)
            key = emails.email_key(state.email)
            valid = await tokens.find_valid(connection, state.id, at=self._core.now())
            failures = await self._waits.count_failures(connection, key)
        logins = EventFilter(user_id=state.id, kind=EventKind.LOGGED_IN)
        last = await self._audit.find(logins, limit=1)
        await self._audit.record(EventKind.USER_READ, self._origin, user_id=state.id, email_key=key)
        return UserDetails(
            state=state,
            valid_tokens=len(valid),
            consecutive_failures=failures,
            last_login=last[0].at if last else None,
        )

    async def add(self, email: str, password: str, name: str | None) -> UserRow:
        """Create a user under the rules of a registration; end a reservation of the email address.

        Raises InvalidFields with all errors, or EmailTaken.
        """
        new_user = self._new_users.check(email=email, password=password, name=name)
        async with self._hasher.slot(_ADMINISTRATOR) as slot:
            password_hash = await slot.hash(password)
        async with transaction_on(self._database) as transaction:
            return await self._new_users.insert(
                transaction, new_user, password_hash, kind=EventKind.ADDED, origin=self._origin
            )

    async def set_password(self, email_or_id: str, password: str) -> Change:
        """Set a new password, revoke every token, and end the waits of the account.

        Raises UserNotFound, or InvalidFields.
        """
        async with connection_to(self._database) as connection:
            state = await get_user(connection, email_or_id)
        self._rules.check_password(password, (state.email, state.name or ""))
        # Hashed without a connection: no other statement waits for one meanwhile.
        async with self._hasher.slot(_ADMINISTRATOR) as slot:
            password_hash = await slot.hash(password)
        # By id: the email address may by now belong to another account.
        async with locked_user(self._database, state.id) as (transaction, user):
            connection = transaction.connection
            await users.update_password(connection, user.id, password_hash)
            await self._outbox.void(transaction, user.id)
            await self._outbox.notify(transaction, MessageKind.PASSWORD_CHANGED, user)
            revoked = await tokens.revoke_all(connection, user.id, at=self._core.now())
            ended = await self._end_waits(connection, user)
            await self._write(transaction, EventKind.PASSWORD_CHANGED, user)
        return Change(user.email, is_new=True, revoked_tokens=revoked, ended_waits=ended)

    async def verify(self, email_or_id: str) -> Change:
        """Mark the email address of a user as verified; raises UserNotFound."""
        async with locked_user(self._database, email_or_id) as (transaction, user):
            if not user.is_email_verified:
                await user_emails.verify_email(transaction.connection, user.id, at=self._core.now())
                await self._write(transaction, EventKind.EMAIL_VERIFIED, user)
        return Change(user.email, is_new=not user.is_email_verified)

    async def set_language(self, email_or_id: str, language: str | None) -> Change:
        """Set the language of messages to a user, None for the default; raises UserNotFound."""
        async with locked_user(self._database, email_or_id) as (transaction, user):
            is_new = await users.set_language(transaction.connection, user.id, language)
            if is_new:
                await self._write(transaction, EventKind.LANGUAGE_CHANGED, user)
        return Change(user.email, is_new=is_new)

    async def disable(self, email_or_id: str) -> Change:
        """Disable a user and revoke every token; raises UserNotFound."""
        async with locked_user(self._database, email_or_id) as (transaction, user):
            connection = transaction.connection
            is_new = await users.disable(connection, user.id, at=self._core.now())
            await self._outbox.void(transaction, user.id, also_undo=True)
            revoked = await tokens.revoke_all(connection, user.id, at=self._core.now())
            if is_new or revoked:
                await self._write(transaction, EventKind.DISABLED, user)
        return Change(user.email, is_new=is_new, revoked_tokens=revoked)

    async def enable(self, email_or_id: str) -> Change:
        """Enable a user, and end the waits of the account; raises UserNotFound."""
        async with locked_user(self._database, email_or_id) as (transaction, user):
            is_new = await users.enable(transaction.connection, user.id)
            if is_new:
                # A request that found the user before it was disabled may have stored one later.
                await self._outbox.void(transaction, user.id, also_undo=True)
            ended = await self._end_waits(transaction.connection, user)
            if is_new or ended:
                await self._write(transaction, EventKind.ENABLED, user)
        return Change(user.email, is_new=is_new, ended_waits=ended)

    async def revoke_tokens(self, email_or_id: str) -> Change:
        """Revoke every token of a user; raises UserNotFound."""
        async with locked_user(self._database, email_or_id) as (transaction, user):
            revoked = await tokens.revoke_all(transaction.connection, user.id, at=self._core.now())
            if revoked:
                await self._write(transaction, EventKind.TOKENS_REVOKED, user)
        return Change(user.email, is_new=revoked > 0, revoked_tokens=revoked)

    async def delete(self, email_or_id: str) -> Change:
        """Delete a user and revoke every token; raises UserNotFound."""
        async with locked_user(self._database, email_or_id) as (transaction, user):
            revoked = await delete_account(
                transaction,
                user,
                at=self._core.now(),
                reservations=self._reservations,
                throttle=self._throttle,
                outbox=self._outbox,
            )
            await self._write(transaction, EventKind.DELETED, user)
        return Change(user.email, is_new=True, revoked_tokens=revoked)

    async def _end_waits(self, connection: Connection, user: UserRow) -> int:
        return await self._waits.end_for_account(connection, emails.email_key(user.email))

    async def _write(self, transaction: Transaction, kind: EventKind, user: UserRow) -> None:
        await self._audit.write(transaction, kind, self._origin, user=user)


async def _sort_key(connection: Connection, email_or_id: str) -> str:
    if is_user_id(email_or_id):
        return emails.email_key((await get_user(connection, email_or_id)).email)
    return emails.lookup_key(email_or_id)
