"""The last use of tokens: recorded to the minute, and written in the background."""

from collections.abc import Callable
from itertools import islice

from db import tokens
from db.pool import Database
from db.rows import Use
from services.transactions import connection_to

WRITE_SECONDS = 10.0
# How many uses are written at a time, and how many may wait while the database is unavailable.
_BATCH = 1000
_MAX_WAITING = 100_000
_MINUTE = 60


class TokenUsage:
    """Collects the uses of tokens. ``clock`` returns the time in UTC seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._minute = 0
        # The uses of this minute, written or not: most requests find their token here.
        self._noted: dict[str, str | None] = {}
        self._waiting: dict[str, tuple[int, str | None]] = {}

    def note(self, token_id: str, ip: str | None) -> None:
        """Record that a token was used now, and the IP address if it is known."""
        minute = int(self._clock()) // _MINUTE
        if minute != self._minute:
            self._minute = minute
            self._noted.clear()
        if token_id in self._noted and (ip is None or self._noted[token_id] == ip):
            return
        if len(self._waiting) < _MAX_WAITING:
            _, known = self._waiting.get(token_id, (0, None))
            self._noted[token_id] = ip
            self._waiting[token_id] = (minute, ip or known)

    async def write_now(self, token_id: str, ip: str | None) -> None:
        """Write a use of this minute before the next turn; raises DatabaseUnavailable."""
        use = _use(token_id, (int(self._clock()) // _MINUTE, ip))
        async with connection_to(self._database) as connection:
            await tokens.write_uses(connection, [use])

    async def write(self) -> float:
        """Write the recorded uses; return in how many seconds to do so again.

        Raises DatabaseError; uses that were not written are kept.
        """
        taken, self._waiting = self._waiting, {}
        try:
            while taken:
                batch = list(islice(taken.items(), _BATCH))
                async with self._database.connection() as connection:
                    await tokens.write_uses(connection, [_use(*item) for item in batch])
                for token_id, _ in batch:
                    del taken[token_id]
        finally:
            # Uses that were recorded during the write are newer, but may lack the IP address.
            for token_id, (minute, ip) in self._waiting.items():
                _, known = taken.get(token_id, (0, None))
                taken[token_id] = (minute, ip or known)
            self._waiting = taken
        return WRITE_SECONDS


def _use(token_id: str, use: tuple[int, str | None]) -> Use:
    minute, ip = use
    return Use(token_id, minute * _MINUTE, ip)
