"""The number of messages to send, in the database that all processes share, for the metrics."""

from collections.abc import Callable
from datetime import UTC, datetime

from db import message_queue
from db.message_rows import BacklogRow
from db.pool import Database

_INTERVAL_SECONDS = 15.0


class Backlog:
    """Counts messages to send, now or later. ``clock`` returns the time in UTC seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._row = BacklogRow(0, None)

    @property
    def due(self) -> int:
        """Return how many messages were to be sent when last measured."""
        return self._row.due

    @property
    def oldest_seconds(self) -> float:
        """Return the age of the oldest of them, 0 if there was none."""
        oldest = self._row.oldest_at
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest.timestamp())

    async def measure(self) -> float:
        """Count; return in how many seconds to do so again. Raises DatabaseError."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        async with self._database.connection() as connection:
            self._row = await message_queue.measure_backlog(connection, now=now)
        return _INTERVAL_SECONDS
