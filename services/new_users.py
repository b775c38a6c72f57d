"""New users: the checks of their fields, and their insertion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from db import registrations
from db.pool import Connection
from db.rows import UserRow
from rules import emails, names
from rules.account_rules import AccountRules
from rules.errors import EmailTaken, FieldError, InvalidFields
from rules.field_errors import FieldErrors
from rules.origin import Origin
from services.core import Core
from services.event_kinds import EventKind
from services.reservations import Reservations
from services.transactions import Transaction


@dataclass(frozen=True, slots=True)
class NewUser:
    """The checked fields of a new account, except the password."""

    email: str
    name: str | None
    language: str | None = None

    @property
    def email_key(self) -> str:
        return emails.email_key(self.email)


def find_errors(rules: AccountRules, fields: Mapping[str, str | None]) -> Sequence[FieldError]:
    """Return the errors in the given fields of an account; others may be missing."""
    try:
        _check(rules, fields.get("email"), fields.get("password"), fields.get("name"))
    except InvalidFields as error:
        return error.errors
    return ()


class NewUsers:
    """Checks and inserts new users."""

    def __init__(self, core: Core, rules: AccountRules, reservations: Reservations) -> None:
        self._core = core
        self._rules = rules
        self._reservations = reservations

    def check(
        self, *, email: str, password: str | None, name: str | None, language: str | None = None
    ) -> NewUser:
        """Check the fields of a new account; raises InvalidFields with all errors."""
        address, clean_name = _check(self._rules, email, password, name)
        return NewUser(address or "", clean_name, language)

    async def insert(
        self,
        transaction: Transaction,
        new_user: NewUser,
        password_hash: str,
        *,
        kind: EventKind,
        origin: Origin,
    ) -> UserRow:
        """Insert a user and the event; raises EmailTaken.

        An administrator ends the reservation of an address; a registration is rejected.
        """
        connection, key = transaction.connection, new_user.email_key
        user = await insert_user(connection, new_user, password_hash)
        # After the insertion, with any outcome: see services/reservations.py.
        is_reserved = await self._reservations.holds(connection, key, now=self._core.now())
        if user is None or (is_reserved and kind is EventKind.REGISTERED):
            raise EmailTaken
        if is_reserved:
            await self._reservations.end(connection, [key])
        await self._core.audit.write(transaction, kind, origin, user=user)
        return user


async def insert_user(
    connection: Connection,
    new_user: NewUser,
    password_hash: str,
    *,
    email_key: str | None = None,
    verify_until: datetime | None = None,
) -> UserRow | None:
    """Insert a user, with the key of the address or another one; return None if it is taken."""
    return await registrations.insert_user(
        connection,
        email=new_user.email,
        email_key=email_key or new_user.email_key,
        name=new_user.name,
        password_hash=password_hash,
        language=new_user.language,
        verify_until=verify_until,
    )


def _check(
    rules: AccountRules, email: str | None, password: str | None, name: str | None
) -> tuple[str | None, str | None]:
    """Return the address and the name in their normal forms; raises InvalidFields."""
    errors = FieldErrors()
    address = errors.check("email", rules.normalize_email, email)
    clean_name = errors.check("name", names.normalize_name, name)
    own_words = (address or "", clean_name or "")
    errors.check("password", partial(rules.passwords.check, own_words=own_words), password)
    errors.raise_if_any()
    return address, clean_name
