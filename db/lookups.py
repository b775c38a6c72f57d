"""The lookups of requests, one batch loader for each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from db.batch_loader import BatchLoader, ObserveStatement
from db.clients import FIND_SECRETS
from db.pool import Database
from db.rows import (
    ClientSecretRow,
    CountRow,
    OwnerRow,
    PasswordRow,
    SessionRow,
    UserRow,
)
from db.throttle import FIND_COUNTS
from db.token_lookups import FIND_OWNERS, FIND_SESSIONS, FIND_USERS
from db.users import FIND_BY_EMAIL


@dataclass(frozen=True, slots=True)
class Lookups:
    """Users by token and by email address, owners of tokens, sessions, clients, counts."""

    users_of_tokens: BatchLoader[UserRow]
    owners_of_tokens: BatchLoader[OwnerRow]
    sessions: BatchLoader[SessionRow]
    users_by_email: BatchLoader[PasswordRow]
    secrets_of_clients: BatchLoader[ClientSecretRow]
    attempt_counts: BatchLoader[CountRow]

    @property
    def failures(self) -> Mapping[str, int]:
        """Return the number of failed batches of each lookup."""
        return {name: loader.failures for name, loader in self._by_name()}

    async def close(self) -> None:
        """Close their connections."""
        for _, loader in self._by_name():
            await loader.close()

    def _by_name(self) -> Iterator[tuple[str, BatchLoader[Any]]]:
        for field in fields(self):
            yield field.name, getattr(self, field.name)


def open_lookups(
    database: Database, observer: Callable[[str], ObserveStatement | None] = lambda _: None
) -> Lookups:
    """Return the lookups; each connects on first use.

    ``observer`` returns the callback for the statements of a lookup, by its name.
    """
    return Lookups(
        BatchLoader(database, FIND_USERS, observer("users_of_tokens")),
        BatchLoader(database, FIND_OWNERS, observer("owners_of_tokens")),
        BatchLoader(database, FIND_SESSIONS, observer("sessions")),
        BatchLoader(database, FIND_BY_EMAIL, observer("users_by_email")),
        BatchLoader(database, FIND_SECRETS, observer("secrets_of_clients")),
        BatchLoader(database, FIND_COUNTS, observer("attempt_counts")),
    )
