"""Which kinds of hashes of other services users have: measured before anybody tries a password."""

import asyncio
from collections.abc import Sequence

from db import users
from db.pool import Database
from rules import imported_hashes
from rules.passwords import PasswordHasher
from services.transactions import connection_to

# Few enough to read at once; a kind that is not among them is measured when it is first refused.
_SAMPLE = 1000
_AGAIN_SECONDS = 3600.0


class HashKinds:
    """Measures the kinds in use, for which refusals wait: see rules/refusals.py."""

    def __init__(self, database: Database, hasher: PasswordHasher) -> None:
        self._database = database
        self._hasher = hasher
        self._found: list[str] | None = None

    async def find(self) -> None:
        """Look which kinds are in use, and forget others; raises DatabaseUnavailable."""
        async with connection_to(self._database) as connection:
            sample, is_complete = await users.sample_imported_hashes(connection, limit=_SAMPLE)
        found = await asyncio.to_thread(_one_of_each_kind, sample)
        if is_complete:
            self._hasher.forget_kinds_but(found)
        self._found = list(found.values())

    async def measure(self) -> float:
        """Hash once for each kind in use; return in how many seconds to do so again.

        Raises DatabaseUnavailable, or Overloaded.
        """
        if self._found is None:
            await self.find()
        for stored in self._found or ():
            await self._hasher.measure(stored)
        self._found = None
        return _AGAIN_SECONDS


def _one_of_each_kind(sample: Sequence[str]) -> dict[str, str]:
    """Return a hash for each kind; of those that cannot be read, none."""
    found: dict[str, str] = {}
    for stored in sample:
        try:
            found.setdefault(imported_hashes.read(stored).kind, stored)
        except ValueError:  # by whatever way it came there: no password matches it
            continue
    return found
