"""The kinds of imported hashes in use, measured in the background from the start on."""

import asyncio
from collections.abc import Sequence

from db import users
from db.pool import Database
from rules import imported_hashes
from rules.passwords import PasswordHasher
from services.transactions import connection_to

# Few enough to read at once; any other kind is measured at its first rejection.
_SAMPLE_SIZE = 1000
_INTERVAL_SECONDS = 3600.0


class HashKinds:
    """Measures the kinds in use: they determine how long rejections take (rules/rejections.py)."""

    def __init__(self, database: Database, hasher: PasswordHasher) -> None:
        self._database = database
        self._hasher = hasher
        self._found: list[str] | None = None

    async def find(self) -> None:
        """Find the kinds in use, and discard others; raises DatabaseUnavailable."""
        async with connection_to(self._database) as connection:
            sample, is_complete = await users.sample_imported_hashes(connection, limit=_SAMPLE_SIZE)
        found = await asyncio.to_thread(_one_of_each_kind, sample)
        if is_complete:
            self._hasher.retain_kinds(found)
        self._found = list(found.values())

    async def measure(self) -> float:
        """Compute one hash of each kind in use; return in how many seconds to do so again.

        Raises DatabaseUnavailable, or Overloaded.
        """
        if self._found is None:
            await self.find()
        for stored in self._found or ():
            await self._hasher.measure(stored)
        self._found = None
        return _INTERVAL_SECONDS


def _one_of_each_kind(sample: Sequence[str]) -> dict[str, str]:
    """Return one hash of each kind; hashes that cannot be read are ignored."""
    found: dict[str, str] = {}
    for stored in sample:
        try:
            found.setdefault(imported_hashes.read(stored).kind, stored)
        except ValueError:  # stored by other means: no password matches it
            continue
    return found
