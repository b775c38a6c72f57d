"""The lookups of requests, one batch loader for each."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from db.acknowledgements import Acknowledgements
from db.batch import Found
from db.batch_loader import BatchLoader, LookupQuery, ObserveStatement
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
    database: Database,
    observer: Callable[[str], ObserveStatement] | None = None,
    *,
    acknowledged: bool = False,
) -> Lookups:
    """Return the lookups; each connects on first use.

    ``observer`` returns the callback for the statements of a lookup, given its name. If
    ``acknowledged``, a synchronous standby has to acknowledge each statement.
    """
    acknowledgements = Acknowledgements(time.monotonic) if acknowledged else None

    def load(name: str, query: LookupQuery[Found]) -> BatchLoader[Found]:
        return BatchLoader(database, query, observer and observer(name), acknowledgements)

    return Lookups(
        load("users_of_tokens", FIND_USERS),
        load("owners_of_tokens", FIND_OWNERS),
        load("sessions", FIND_SESSIONS),
        load("users_by_email", FIND_BY_EMAIL),
        load("secrets_of_clients", FIND_SECRETS),
        load("attempt_counts", FIND_COUNTS),
    )
