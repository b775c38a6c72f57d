"""Serializes the writes of each user in this process.

A write locks the user's row. Without turns, concurrent writes of one user would each hold a
connection of the pool while they wait for the row, and leave none for other requests.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rules.budget import Budget
from rules.errors import TooManyWrites

# How many writes may wait behind the one that runs.
MAX_WAITING = 8
_RETRY_AFTER_SECONDS = 1


@dataclass(slots=True)
class _UserWrites:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    count: int = 0


class WriteTurns:
    """Runs the writes of a user one after the other, and limits their rate.

    ``budget`` is that of each credential, ``changes`` that of each user. A write waits at most
    ``max_wait_seconds`` for its turn.
    """

    def __init__(self, budget: Budget, changes: Budget, max_wait_seconds: float) -> None:
        self._budget = budget
        self._changes = changes
        self._max_wait_seconds = max_wait_seconds
        self._users: dict[str, _UserWrites] = {}

    def spend(self, credential: str) -> None:
        """Count a write with a credential; raises TooManyWrites if its budget is exhausted.

        Per credential, not per user: the thief of a token must not keep its owner from writing.
        """
        _spend(self._budget, credential)

    def spend_change(self, credential: str, user_id: str) -> None:
        """Count a write that revokes nothing for the user as well, who may have many tokens."""
        self.spend(credential)
        _spend(self._changes, user_id)

    @asynccontextmanager
    async def turn(self, user_id: str) -> AsyncIterator[None]:
        """Wait until no other write of the user runs.

        Raises TooManyWrites if many already wait, or after the maximum wait.
        """
        writes = self._users.setdefault(user_id, _UserWrites())
        if writes.count > MAX_WAITING:
            raise TooManyWrites(_RETRY_AFTER_SECONDS)
        writes.count += 1
        try:
            await self._acquire(writes.lock)
            try:
                yield
            finally:
                writes.lock.release()
        finally:
            writes.count -= 1
            if not writes.count:
                del self._users[user_id]

    async def _acquire(self, lock: asyncio.Lock) -> None:
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                await lock.acquire()
        except TimeoutError:
            raise TooManyWrites(_RETRY_AFTER_SECONDS) from None


def _spend(budget: Budget, key: str) -> None:
    wait = budget.wait_seconds(key)
    if wait:
        raise TooManyWrites(wait)
    budget.spend(key)
