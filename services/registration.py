"""Registrations: open or closed, with or without a verification of the email address.

If the verification is required, the response is the same for a free and a taken address, after the
same work: the same hash, and in two transactions the same statements. The owner of a taken address
gets a message.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import uuid4

from db import registrations
from db.pool import Connection
from db.rows import UserRow
from rules.account_rules import AccountRules
from rules.errors import FieldError
from rules.hash_budget import HashBudget
from rules.message_kinds import MessageKind
from rules.origin import Origin
from rules.turns import Caller
from services.core import Core
from services.deletion import make_available, remove_next_void_account
from services.event_kinds import EventKind
from services.new_users import NewUser, NewUsers, find_errors, insert_user
from services.outbox import Outbox
from services.reservations import Reservations
from services.throttle import Throttle
from services.transactions import Transaction, connection_to, transaction_on
from settings.choices import Verification
from settings.model import RegistrationSettings

# How long a required verification may take.
_VERIFY_WITHIN = timedelta(days=7)
# Void registrations are deleted a few at a time, so as not to delay requests.
_VOID_AT_ONCE = 20
_VOID_PAUSE_SECONDS = 0.5
_VOID_IDLE_SECONDS = 60.0


class Registration:
    """Registers users."""

    def __init__(
        self,
        core: Core,
        *,
        rules: AccountRules,
        throttle: Throttle,
        hashes: HashBudget,
        reservations: Reservations,
        outbox: Outbox,
        settings: RegistrationSettings,
    ) -> None:
        self._core = core
        self._rules = rules
        self._throttle = throttle
        self._hashes = hashes
        self._reservations = reservations
        self._outbox = outbox
        self._settings = settings
        self._new_users = NewUsers(core, rules, reservations)

    @property
    def is_open(self) -> bool:
        """Return whether anyone may register."""
        return self._settings.open

    @property
    def offers_verification(self) -> bool:
        """Return whether new users can log in at once, and get a message to verify the address."""
        return self._settings.verification is Verification.OPTIONAL and self._outbox.is_on

    def find_errors(self, fields: Mapping[str, str | None]) -> Sequence[FieldError]:
        """Return the errors in the given fields of a user."""
        return find_errors(self._rules, fields)

    async def register(
        self, *, email: str, password: str, name: str | None, language: str | None, origin: Origin
    ) -> UserRow | None:
        """Create a user; return it, or None if the address has to be verified first.

        Raises InvalidFields with all errors, TooManyAttempts or Overloaded. Unless the
        verification is required, also EmailTaken; if it is, TooManyMessages.
        """
        attempt = self._throttle.registration_attempt(origin.ip)
        await self._throttle.check(attempt)
        new_user = self._new_users.check(
            email=email, password=password, name=name, language=language
        )
        async with self._hashes.slot(Caller.at(origin.ip, new_user.email_key)) as slot:
            await self._throttle.record_failure(attempt)
            password_hash = await slot.hash(password)
        is_required = self._settings.verification is Verification.REQUIRED
        if is_required:
            await make_available(self._core, self._throttle, new_user.email_key)
        async with transaction_on(self._core.database) as transaction:
            if is_required:
                await self._request(transaction, new_user, password_hash, origin)
                return None
            return await self._create(transaction, new_user, password_hash, origin)

    async def remove_void(self) -> float:
        """Delete users who have not verified their address in time, a few at a time.

        Their addresses are not reserved. If the verification is not required, users log in without
        it: users whose time ends then are kept, even if the setting changes later. Returns in how
        many seconds to do so again. Raises DatabaseUnavailable.
        """
        if self._settings.verification is not Verification.REQUIRED:
            async with connection_to(self._core.database) as connection:
                await registrations.keep_void(connection, at=self._core.now())
            return _VOID_IDLE_SECONDS
        for _ in range(_VOID_AT_ONCE):
            if not await remove_next_void_account(self._core, self._throttle):
                return _VOID_IDLE_SECONDS
        return _VOID_PAUSE_SECONDS

    async def _create(
        self, transaction: Transaction, new_user: NewUser, password_hash: str, origin: Origin
    ) -> UserRow:
        """Insert a user, who may verify the address at any time."""
        user = await self._new_users.insert(
            transaction, new_user, password_hash, kind=EventKind.REGISTERED, origin=origin
        )
        await self._throttle.set_usual_network(transaction.connection, user, origin.ip)
        if self.offers_verification:
            await self._outbox.add(transaction, MessageKind.VERIFICATION, user)
        return user

    async def _request(
        self, transaction: Transaction, new_user: NewUser, password_hash: str, origin: Origin
    ) -> None:
        """Insert a user who has to verify the address, or write to the owner of a taken one.

        The user of the address is read first, and the reservations by a later statement: a
        deletion that is committed in between has reserved the address by then.
        """
        connection, key = transaction.connection, new_user.email_key
        owner = await registrations.find_owner(connection, key)
        is_reserved = await self._reservations.holds(connection, key, now=self._core.now())
        is_free = owner is None and not is_reserved
        user = await self._insert(connection, new_user, password_hash, is_free=is_free)
        recipient = user or owner
        await self._outbox.request(
            transaction,
            MessageKind.VERIFICATION if user else MessageKind.ADDRESS_TAKEN,
            recipient.email if recipient else new_user.email,
            origin,
            user=recipient,
        )
        kind = EventKind.REGISTERED if user else EventKind.ADDRESS_TAKEN
        await self._core.audit.write(transaction, kind, origin, user=recipient, email_key=key)

    async def _insert(
        self, connection: Connection, new_user: NewUser, password_hash: str, *, is_free: bool
    ) -> UserRow | None:
        """Insert a user, if the address is free; otherwise do the same work without effect."""
        await registrations.set_savepoint(connection)
        user = await insert_user(
            connection,
            new_user,
            password_hash,
            email_key=None if is_free else str(uuid4()),
            verify_until=self._core.now() + _VERIFY_WITHIN,
        )
        if is_free:
            await registrations.release_savepoint(connection)
            # None if a concurrent registration was first.
            return user
        await registrations.roll_back_to_savepoint(connection)
        return None
