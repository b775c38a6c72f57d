"""A limit on the hashes of correct and new passwords of each user."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rules.budget import Budget
from rules.errors import TooManyAttempts
from rules.passwords import HashSlot, PasswordHasher
from rules.turns import Caller


class HashBudget:
    """Grants slots of the hash queue within the budget of each user.

    Wrong passwords do not use up the budget: otherwise a stranger could lock the user out.
    """

    def __init__(self, hasher: PasswordHasher, budget: Budget) -> None:
        self._hasher = hasher
        self._budget = budget

    @asynccontextmanager
    async def slot(
        self, caller: Caller, *, user_id: str | None = None, stored: str | None = None
    ) -> AsyncIterator[HashSlot]:
        """Wait for a slot, and hold it; see PasswordHasher.slot().

        Raises TooManyAttempts if the budget of the user is exhausted; None has no budget.
        """
        self._check(user_id)
        async with self._hasher.slot(caller, stored) as slot:
            # Again: other passwords of this user may have been hashed while this one waited.
            self._check(user_id)
            yield slot

    def spend(self, user_id: str) -> None:
        """Count a hash."""
        self._budget.spend(user_id)

    def _check(self, user_id: str | None) -> None:
        wait_seconds = 0 if user_id is None else self._budget.wait_seconds(user_id)
        if wait_seconds:
            raise TooManyAttempts(wait_seconds)
