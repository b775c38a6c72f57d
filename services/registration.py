"""The creation of an account, by a registration or an administrator."""

from dataclasses import dataclass
from functools import partial

from db import users
from db.rows import UserRow
from rules import emails, names
from rules.errors import EmailTaken
from rules.field_errors import FieldErrors
from rules.origin import Origin
from rules.password_rules import PasswordRules
from services.audit import AuditTrail
from services.event_kinds import EventKind
from services.reservations import Reservations
from services.transactions import Transaction


@dataclass(frozen=True, slots=True)
class NewUser:
    """The checked fields of a new account, except the password."""

    email: str
    name: str | None


def check_new_user(rules: PasswordRules, *, email: str, password: str, name: str | None) -> NewUser:
    """Check the fields of a new account; raises InvalidFields with all errors."""
    errors = FieldErrors()
    address = errors.check("email", emails.normalize_email, email) or ""
    clean_name = errors.check("name", names.normalize_name, name)
    own_words = (address, clean_name or "")
    errors.check("password", partial(rules.check, own_words=own_words), password)
    errors.raise_if_any()
    return NewUser(address, clean_name)


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
