"""New events of the audit trail, as they are committed.

An event takes its id before its transaction commits, so events do not become visible in the order
of their ids. The stream reads upwards and remembers the ids that it skipped: an event with one of
them is returned once it is visible.
"""

import time
from collections.abc import Callable, Sequence

from db import event_stream
from db.pool import Database
from db.rows import EventRow
from services.transactions import connection_to

PAGE = 1_000
# No transaction of a server or a command runs longer; skipped ids of rolled-back ones stay unused.
_MAX_TRANSACTION_SECONDS = 600.0
# A restore or a failover may leave a gap of any size.
_MAX_GAP = 10_000


class EventStream:
    """Returns each event once. ``timer`` returns monotonic seconds."""

    def __init__(self, database: Database, timer: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._timer = timer
        self._last = 0
        # Skipped ids, and when to stop looking for them; the oldest come first.
        self._skipped: dict[int, float] = {}

    async def seek_end(self) -> None:
        """Start after the events that are visible now; one that commits later is returned."""
        async with connection_to(self._database) as connection:
            seen = await event_stream.find_last_ids(connection, span=_MAX_GAP)
        if not seen:
            return
        self._last = seen[-1]
        # A running transaction may have taken an id below that of the newest event.
        missing = sorted({*range(max(1, self._last - _MAX_GAP), self._last)} - {*seen})
        self._skipped = dict.fromkeys(missing, self._timer() + _MAX_TRANSACTION_SECONDS)

    async def read(self) -> Sequence[EventRow]:
        """Return the next events, at most PAGE of each kind: late ones, and new ones by id.

        There may be more as long as the result is not empty.
        """
        self._expire()
        async with connection_to(self._database) as connection:
            late = await event_stream.find_by_ids(connection, list(self._skipped), limit=PAGE)
            new = await event_stream.find_after(connection, self._last, limit=PAGE)
        for event in late:
            del self._skipped[event.id]
        until = self._timer() + _MAX_TRANSACTION_SECONDS
        for event in new:
            first = max(self._last + 1, event.id - _MAX_GAP)
            self._skipped.update(dict.fromkeys(range(first, event.id), until))
            self._last = event.id
        return [*late, *new]

    def _expire(self) -> None:
        now = self._timer()
        while self._skipped and next(iter(self._skipped.values())) <= now:
            del self._skipped[next(iter(self._skipped))]
