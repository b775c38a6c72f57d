"""Rows that are of no use any more, removed a few at a time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from db import housekeeping
from db.pool import Database

# How many rows go at a time: few enough for requests not to feel it.
_BATCH = 500
# After a batch there is a pause of so many times its length: most of the time is everybody's.
_PAUSE = 3
_IDLE_SECONDS = 60.0
# How long one may be at it before it asks again whose turn it is.
_MOST_SECONDS = 3600.0


class Housekeeping:
    """Removes the rows of tokens that expired more than ``keep_expired_days`` ago.

    Of any number of processes one is at it at a time. ``clock`` returns UTC seconds.
    """

    def __init__(
        self, database: Database, *, clock: Callable[[], float], keep_expired_days: int
    ) -> None:
        self._database = database
        self._clock = clock
        self._keep = timedelta(days=keep_expired_days)

    async def remove_expired(self) -> float:
        """Remove what is due, batch by batch; return in how many seconds to look again.

        Raises DatabaseError.
        """
        clock = asyncio.get_running_loop().time
        before = datetime.fromtimestamp(self._clock(), UTC) - self._keep
        since = datetime.min.replace(tzinfo=UTC)
        removed = _BATCH
        async with (
            self._database.connection(_MOST_SECONDS) as connection,
            housekeeping.turn(connection) as is_ours,
        ):
            while is_ours and removed == _BATCH:
                began = clock()
                removed, since = await housekeeping.delete_expired(
                    connection, since=since, before=before, most=_BATCH
                )
                await asyncio.sleep(_PAUSE * (clock() - began))
        return _IDLE_SECONDS
