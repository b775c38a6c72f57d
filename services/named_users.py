"""Users as administrators name them: by email address or by id."""

import re

from db import users
from db.pool import Connection
from db.rows import UserStateRow
from rules import emails

# Postgres accepts an id without hyphens too.
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)


def is_user_id(text: str) -> bool:
    """Return whether a text has the form of an id; no email address has."""
    return _ID.fullmatch(text) is not None


async def find_user(connection: Connection, email_or_id: str) -> UserStateRow | None:
    """Return a user by email address or id, or None."""
    if is_user_id(email_or_id):
        found = await users.find_states(connection, [email_or_id])
        return found[0] if found else None
    return await users.find_state(connection, emails.lookup_key(email_or_id))
