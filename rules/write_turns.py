"""Writes of one user, one at a time within this process.

A write locks the user's row. Without this, writes of one user that come together would each hold
a connection of the pool while they wait for the row, and nobody else would get one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rules.budget import Budget
from rules.errors import TooManyWrites

# How many wait behind the write that runs.
MOST_WAITING = 8
_RETRY_AFTER_SECONDS = 1


@dataclass(slots=True)
class _User:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    writes: int = 0


class WriteTurns:
    """Lets the writes of a user take turns, and bounds how many there may be.

    ``budget`` is that of each credential, ``changes`` that of each user. Nobody waits longer than
    ``max_wait_seconds`` for a turn.
    """

    def __init__(self, budget: Budget, changes: Budget, max_wait_seconds: float) -> None:
        self._budget = budget
        self._changes = changes
        self._max_wait_seconds = max_wait_seconds
        self._users: dict[str, _User] = {}

    def spend(self, credential: str) -> None:
        """Count a write by a credential; raises TooManyWrites where its budget is used up.

        By credential, not by user: whoever stole a token must not keep its owner from writing.
        """
        _spend(self._budget, credential)

    def spend_change(self, credential: str, user_id: str) -> None:
        """Count a write that ends nothing, by its user as well, who may have many tokens."""
        self.spend(credential)
        _spend(self._changes, user_id)

    @asynccontextmanager
    async def turn(self, user_id: str) -> AsyncIterator[None]:
        """Wait until no other write of the user runs.

        Raises TooManyWrites where many wait already, or after the longest wait.
        """
        user = self._users.setdefault(user_id, _User())
        if user.writes > MOST_WAITING:
            raise TooManyWrites(_RETRY_AFTER_SECONDS)
        user.writes += 1
        try:
            await self._wait(user)
            try:
                yield
            finally:
                user.lock.release()
        finally:
            user.writes -= 1
            if not user.writes:
                del self._users[user_id]

    async def _wait(self, user: _User) -> None:
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                await user.lock.acquire()
        except TimeoutError:
            raise TooManyWrites(_RETRY_AFTER_SECONDS) from None


def _spend(budget: Budget, key: str) -> None:
    wait = budget.wait_seconds(key)
    if wait:
        raise TooManyWrites(wait)
    budget.spend(key)
