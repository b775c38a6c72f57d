"""How an account is made, whoever asks for it: what is checked, and what is written."""

from dataclasses import dataclass
from functools import partial

from db import users
from db.pool import Connection
from db.rows import UserRow
from rules import emails, names
from rules.errors import EmailTaken
from rules.field_errors import FieldErrors
from rules.origin import Origin
from rules.password_rules import PasswordRules
from services.audit import AuditTrail, Kind
from services.reservations import Reservations


@dataclass(frozen=True, slots=True)
class NewUser:
    """Whom an account may be made for, but for the password."""

    email: str
    name: str | None


def check_new_user(rules: PasswordRules, *, email: str, password: str, name: str | None) -> NewUser:
    """Return who may have an account; raises InvalidFields with all that is wrong."""
    errors = FieldErrors()
    address = errors.check("email", emails.normalize_email, email) or ""
    clean_name = errors.check("name", names.normalize_name, name)
    own_words = (address, clean_name or "")
    errors.check("password", partial(rules.check, own_words=own_words), password)
    errors.raise_if_any()
    return NewUser(address, clean_name)


async def insert_new_user(
    connection: Connection,
    audit: AuditTrail,
    reservations: Reservations,
    newcomer: NewUser,
    *,
    password_hash: str,
    kind: Kind,
    origin: Origin,
) -> UserRow:
    """Insert a user, and the event that tells of it; raises EmailTaken.

    An administrator ends the reservation of an address, anybody else is refused it.
    """
    key = emails.email_key(newcomer.email)
    user = await users.insert_user(
        connection,
        email=newcomer.email,
        email_key=key,
        name=newcomer.name,
        password_hash=password_hash,
    )
    # After the insertion, and whatever came of it: see services/reservations.py.
    is_reserved = await reservations.holds(connection, key)
    if user is None or (is_reserved and kind is Kind.REGISTERED):
        raise EmailTaken
    if is_reserved:
        await reservations.end(connection, [key])
    await audit.write(connection, kind, origin, user=user)
    return user
