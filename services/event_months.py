"""The months of the audit trail: partitions that housekeeping creates in advance, and drops.

A step that fails is logged and retried in the next turn. Until then, events are in the default
partition, or are kept longer.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from db import event_partitions
from db.errors import DISCARDING, DatabaseError, Locked
from db.expired_tokens import housekeeping_turn
from db.pool import Connection
from ops.logs import SERVER

# The current month and the next two.
_MONTHS = 3
# The failures, about one a minute, before a lock is reported: a backup may hold it for long.
_REPORTED_LOCK_FAILURES = 60


class EventMonths:
    """Creates and drops partitions of the audit trail, in one process at a time."""

    def __init__(self) -> None:
        # The number of failures since the last success, by partition and by whether a lock is the
        # cause: the two are not reported at the same number.
        self._failures: Counter[tuple[str, bool]] = Counter()

    async def create(self, connection: Connection, now: datetime) -> None:
        """Create the partitions of this month and the next two that do not exist."""
        found = await event_partitions.find_partitions(connection)
        for month in event_partitions.missing_months(found, now, _MONTHS):
            async with self._turn(connection, month.table) as is_ours:
                if is_ours:
                    await event_partitions.create_partition(connection, month)

    async def drop(self, connection: Connection, before: datetime) -> bool:
        """Drop the partitions whose events are all from before a time.

        Return whether none is left: to delete their events one by one would take hours.
        """
        for partition in await event_partitions.find_partitions(connection):
            if partition.end <= before:
                async with self._turn(connection, partition.table) as is_ours:
                    if is_ours:
                        await event_partitions.drop_partition(connection, partition)
        found = await event_partitions.find_partitions(connection)
        return all(partition.end > before for partition in found)

    @asynccontextmanager
    async def _turn(self, connection: Connection, table: str) -> AsyncIterator[bool]:
        """Run the block in a turn; count a failure that concerns this partition alone."""
        try:
            async with housekeeping_turn(connection) as is_ours:
                yield is_ours
        except DatabaseError as error:
            if connection.closed or isinstance(error, DISCARDING):
                raise
            self._note(table, error)
        else:
            # Otherwise another process has the turn: nothing has succeeded.
            if is_ours:
                del self._failures[table, True], self._failures[table, False]

    def _note(self, table: str, error: DatabaseError) -> None:
        is_locked = isinstance(error, Locked)
        self._failures[table, is_locked] += 1
        reported = _REPORTED_LOCK_FAILURES if is_locked else 1
        if self._failures[table, is_locked] == reported:
            logging.getLogger(SERVER).warning(
                "housekeeping of the partition %s failed, and is tried again: %s", table, error
            )
