"""The creation of an account, by a registration or an administrator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from db import users
from db.rows import UserRow
from rules import emails, names
from rules.account_rules import AccountRules
from rules.errors import EmailTaken, FieldError, InvalidFields
from rules.field_errors import FieldErrors
from rules.origin import Origin
from services.audit import AuditTrail
from services.event_kinds import EventKind
from services.reservations import Reservations
from services.transactions import Transaction


@dataclass(frozen=True, slots=True)
class NewUser:
    """The checked fields of a new account, except the password."""

    email: str
    name: str | None


def check_new_user(rules: AccountRules, *, email: str, password: str, name: str | None) -> NewUser:
    """Check the fields of a new account; raises InvalidFields with all errors."""
    address, clean_name = _check(rules, email, password, name)
    return NewUser(address or "", clean_name)


def find_errors(rules: AccountRules, fields: Mapping[str, str | None]) -> Sequence[FieldError]:
    """Return what is wrong with some fields of an account; others may be missing."""
    try:
        _check(rules, fields.get("email"), fields.get("password"), fields.get("name"))
    except InvalidFields as error:
        return error.errors
    return ()


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


async def insert_new_user(
    transaction: Transaction,
    audit: AuditTrail,
    reservations: Reservations,
    new_user: NewUser,
    *,
    password_hash: str,
    kind: EventKind,
    origin: Origin,
) -> UserRow:
    """Insert a user and the event; raises EmailTaken.

    An administrator ends the reservation of an address; a registration is rejected.
    """
    key = emails.email_key(new_user.email)
    user = await users.insert_user(
        transaction.connection,
        email=new_user.email,
        email_key=key,
        name=new_user.name,
        password_hash=password_hash,
    )
    # After the insertion, and whatever its outcome: see services/reservations.py.
    is_reserved = await reservations.holds(transaction.connection, key)
    if user is None or (is_reserved and kind is EventKind.REGISTERED):
        raise EmailTaken
    if is_reserved:
        await reservations.end(transaction.connection, [key])
    await audit.write(transaction, kind, origin, user=user)
    return user
