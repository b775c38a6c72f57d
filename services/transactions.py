"""Connections and transactions whose failures are raised as DatabaseUnavailable."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from db.errors import Locked, Unavailable
from db.pool import Connection, Database
from rules.errors import DatabaseUnavailable, RowLocked

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction, and the actions to run after its commit."""

    connection: Connection
    actions: list[Callable[[], None]] = field(default_factory=list)

    def on_commit(self, action: Callable[[], None]) -> None:
        """Run an action after the commit, or not at all if the transaction is rolled back."""
        self.actions.append(action)


async def result_of(lookup: Awaitable[Found]) -> Found:
    """Return the result of a lookup; raises DatabaseUnavailable.

    Every request makes lookups; the context managers below would add noticeable time.
    """
    try:
        return await lookup
    except Unavailable as error:
        raise DatabaseUnavailable from error


@asynccontextmanager
async def connection_to(database: Database) -> AsyncIterator[Connection]:
    """Borrow a connection in autocommit mode."""
    with _unavailable():
        async with database.connection() as connection:
            yield connection


@asynccontextmanager
async def transaction_on(database: Database) -> AsyncIterator[Transaction]:
    """Begin a transaction, and commit it at the end of the block."""
    with _unavailable():
        async with database.transaction() as connection:
            transaction = Transaction(connection)
            yield transaction
    for action in transaction.actions:
        action()


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except Locked as error:
        raise RowLocked from error
    except Unavailable as error:
        raise DatabaseUnavailable from error
