"""What becomes of a database that is away: DatabaseUnavailable, for whoever asked."""

from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from db.errors import Locked, Unavailable
from db.pool import Connection, Database
from rules.errors import DatabaseUnavailable, RowLocked

Found = TypeVar("Found")


async def answer(asked: Awaitable[Found]) -> Found:
    """Return what a look-up finds; raises DatabaseUnavailable.

    On the way of every request, where the context managers below would be felt.
    """
    try:
        return await asked
    except Unavailable as error:
        raise DatabaseUnavailable from error


@asynccontextmanager
async def connection_to(database: Database) -> AsyncIterator[Connection]:
    """Lend a connection, in autocommit."""
    with _unavailable():
        async with database.connection() as connection:
            yield connection


@asynccontextmanager
async def transaction_on(database: Database) -> AsyncIterator[Connection]:
    """Lend a connection inside a transaction."""
    with _unavailable():
        async with database.transaction() as connection:
            yield connection


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except Locked as error:
        raise RowLocked from error
    except Unavailable as error:
        raise DatabaseUnavailable from error
