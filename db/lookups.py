"""The look-ups that requests share."""

from dataclasses import dataclass

from db.joined_lookup import JoinedLookup
from db.pool import Database
from db.rows import PasswordRow, UserRow
from db.tokens import FIND_USERS
from db.users import FIND_BY_EMAIL


@dataclass(frozen=True, slots=True)
class Lookups:
    """Users by their tokens' ids, and users with their passwords by their e-mail addresses."""

    users_of_tokens: JoinedLookup[UserRow]
    users_by_email: JoinedLookup[PasswordRow]

    async def close(self) -> None:
        """Close their connections."""
        await self.users_of_tokens.close()
        await self.users_by_email.close()


def open_lookups(database: Database) -> Lookups:
    """Return the look-ups; each connects when it is first used."""
    return Lookups(JoinedLookup(database, FIND_USERS), JoinedLookup(database, FIND_BY_EMAIL))
