"""The look-ups that requests share."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from db.batch_loader import BatchLoader, ObserveStatement
from db.clients import FIND_SECRETS
from db.pool import Database
from db.rows import ClientSecretRow, CountRow, OwnerRow, PasswordRow, UserRow
from db.throttle import FIND_COUNTS
from db.tokens import FIND_OWNERS, FIND_USERS
from db.users import FIND_BY_EMAIL


@dataclass(frozen=True, slots=True)
class Lookups:
    """Users by token and by e-mail address, owners of tokens, secrets of clients, counts."""

    users_of_tokens: BatchLoader[UserRow]
    owners_of_tokens: BatchLoader[OwnerRow]
    users_by_email: BatchLoader[PasswordRow]
    secrets_of_clients: BatchLoader[ClientSecretRow]
    counts_of_tries: BatchLoader[CountRow]

    @property
    def failures(self) -> Mapping[str, int]:
        """Return how many statements of each were not answered."""
        return {name: lookup.failures for name, lookup in self._by_name()}

    async def close(self) -> None:
        """Close their connections."""
        for _, lookup in self._by_name():
            await lookup.close()

    def _by_name(self) -> Iterator[tuple[str, BatchLoader[Any]]]:
        for each in fields(self):
            yield each.name, getattr(self, each.name)


def open_lookups(
    database: Database, observer: Callable[[str], ObserveStatement | None] = lambda _: None
) -> Lookups:
    """Return the look-ups; each connects when it is first used.

    ``observer`` returns what is told of the statements of one of them.
    """
    return Lookups(
        BatchLoader(database, FIND_USERS, observer("users_of_tokens")),
        BatchLoader(database, FIND_OWNERS, observer("owners_of_tokens")),
        BatchLoader(database, FIND_BY_EMAIL, observer("users_by_email")),
        BatchLoader(database, FIND_SECRETS, observer("secrets_of_clients")),
        BatchLoader(database, FIND_COUNTS, observer("counts_of_tries")),
    )
