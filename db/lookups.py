"""The look-ups that requests share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from db.clients import FIND_SECRETS
from db.joined_lookup import JoinedLookup, ObserveStatement
from db.pool import Database
from db.rows import ClientSecretRow, CountRow, OwnerRow, PasswordRow, UserRow
from db.throttle import FIND_COUNTS
from db.tokens import FIND_OWNERS, FIND_USERS
from db.users import FIND_BY_EMAIL


@dataclass(frozen=True, slots=True)
class Lookups:
    """Users by token and by e-mail address, owners of tokens, secrets of clients, counts."""

    users_of_tokens: JoinedLookup[UserRow]
    owners_of_tokens: JoinedLookup[OwnerRow]
    users_by_email: JoinedLookup[PasswordRow]
    secrets_of_clients: JoinedLookup[ClientSecretRow]
    counts_of_tries: JoinedLookup[CountRow]

    @property
    def failures(self) -> Mapping[str, int]:
        """Return how many statements of each were not answered."""
        return {
            "users_of_tokens": self.users_of_tokens.failures,
            "owners_of_tokens": self.owners_of_tokens.failures,
            "users_by_email": self.users_by_email.failures,
            "secrets_of_clients": self.secrets_of_clients.failures,
            "counts_of_tries": self.counts_of_tries.failures,
        }

    async def close(self) -> None:
        """Close their connections."""
        await self.users_of_tokens.close()
        await self.owners_of_tokens.close()
        await self.users_by_email.close()
        await self.secrets_of_clients.close()
        await self.counts_of_tries.close()


def open_lookups(
    database: Database, observer: Callable[[str], ObserveStatement | None] = lambda _: None
) -> Lookups:
    """Return the look-ups; each connects when it is first used.

    ``observer`` returns what is told of the statements of one of them.
    """
    return Lookups(
        JoinedLookup(database, FIND_USERS, observer("users_of_tokens")),
        JoinedLookup(database, FIND_OWNERS, observer("owners_of_tokens")),
        JoinedLookup(database, FIND_BY_EMAIL, observer("users_by_email")),
        JoinedLookup(database, FIND_SECRETS, observer("secrets_of_clients")),
        JoinedLookup(database, FIND_COUNTS, observer("counts_of_tries")),
    )
