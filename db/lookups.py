"""The look-ups that requests share."""

from dataclasses import dataclass

from db.clients import FIND_SECRETS
from db.joined_lookup import JoinedLookup
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

    async def close(self) -> None:
        """Close their connections."""
        await self.users_of_tokens.close()
        await self.owners_of_tokens.close()
        await self.users_by_email.close()
        await self.secrets_of_clients.close()
        await self.counts_of_tries.close()


def open_lookups(database: Database) -> Lookups:
    """Return the look-ups; each connects when it is first used."""
    return Lookups(
        JoinedLookup(database, FIND_USERS),
        JoinedLookup(database, FIND_OWNERS),
        JoinedLookup(database, FIND_BY_EMAIL),
        JoinedLookup(database, FIND_SECRETS),
        JoinedLookup(database, FIND_COUNTS),
    )
