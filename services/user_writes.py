"""Writes of a user: within their limits, one at a time, on the locked row of the user."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db import tokens, users
from db.pool import Connection, Database
from db.rows import UserRow
from rules.errors import CredentialsInvalid, TokenInvalid, Unauthorized
from rules.write_turns import WriteTurns
from services.identities import Identity, PasswordProof, TokenProof
from services.transactions import Transaction, transaction_on


class UserWrites:
    """Transactions in which an identity writes."""

    def __init__(self, database: Database, turns: WriteTurns) -> None:
        self._database = database
        self._turns = turns

    def spend(self, identity: Identity) -> None:
        """Count a write that revokes or deletes; raises TooManyWrites."""
        self._turns.spend(identity.credential)

    def spend_change(self, identity: Identity) -> None:
        """Count any other write; raises TooManyWrites."""
        self._turns.spend_change(identity.credential, identity.user.id)

    @asynccontextmanager
    async def begin(self, identity: Identity) -> AsyncIterator[tuple[Transaction, UserRow]]:
        """Begin a transaction in turn, and lock the user's row; commit at the end of the block.

        Raises TooManyWrites, or Unauthorized if the proof of the identity no longer holds.
        """
        async with (
            self._turns.turn(identity.user.id),
            transaction_on(self._database) as transaction,
        ):
            yield transaction, await _lock(transaction.connection, identity)


async def _lock(connection: Connection, identity: Identity) -> UserRow:
    """Lock the user's row; raises Unauthorized unless the proof of the identity still holds.

    A hash may have been computed after the proof was verified. In that time, the password may have
    been changed or the token revoked, to shut out the very caller that sent this request.
    """
    current = await users.find_for_update(connection, identity.user.id)
    match identity.proof:
        case TokenProof(token_id):
            rejection: Unauthorized = TokenInvalid()
            holds = await tokens.is_unrevoked(connection, token_id, identity.user.id)
        case PasswordProof(_, stored):
            rejection = CredentialsInvalid()
            holds = current is not None and current.password_version == stored.password_version
    if current is None or not holds or current.is_disabled:
        raise rejection
    return current.user
