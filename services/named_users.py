"""Users as administrators name them: by email address or by id."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db import users
from db.pool import Connection, Database
from db.rows import UserRow, UserStateRow
from rules import emails
from rules.uuids import UUID
from services.transactions import Transaction, transaction_on

# Postgres accepts an id without hyphens too.
_ID = re.compile(rf"{UUID}|[0-9a-f]{{32}}", re.IGNORECASE)


class UserNotFound(Exception):
    """No user has that email address or id."""


def is_user_id(text: str) -> bool:
    """Return whether a text has the form of an id, which no email address has."""
    return _ID.fullmatch(text) is not None


async def find_user(connection: Connection, email_or_id: str) -> UserStateRow | None:
    """Return a user by email address or id, or None."""
    if is_user_id(email_or_id):
        found = await users.find_states(connection, [email_or_id])
        return found[0] if found else None
    return await users.find_state(connection, emails.lookup_key(email_or_id))


async def get_user(connection: Connection, email_or_id: str) -> UserStateRow:
    """Return a user by email address or id; raises UserNotFound."""
    state = await find_user(connection, email_or_id)
    if state is None:
        raise UserNotFound
    return state


@asynccontextmanager
async def locked_user(
    database: Database, email_or_id: str
) -> AsyncIterator[tuple[Transaction, UserRow]]:
    """Begin a transaction that locks a user's row; commit at the end of the block.

    Raises UserNotFound.
    """
    async with transaction_on(database) as transaction:
        state = await get_user(transaction.connection, email_or_id)
        locked = await users.find_for_update(transaction.connection, state.id)
        # The user may have been deleted meanwhile.
        if locked is None:
            raise UserNotFound
        yield transaction, locked.user
