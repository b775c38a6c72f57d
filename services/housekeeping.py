"""The deletion of expired rows, in small batches."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from db import counts, events, expired_tokens, messages, reserved_emails
from db.event_partitions import Month
from db.pool import Connection, Database
from services.event_months import EventMonths

# The number of rows per batch: small enough not to delay requests.
_BATCH = 500
# After each batch, a pause of this many times its duration leaves the database to requests.
_PAUSE = 3
_IDLE_SECONDS = 60.0
# The maximum duration of a turn, after which another process may have its turn.
_MAX_TURN_SECONDS = 3600.0
# Consecutive failures and usual networks are kept for users who log in rarely.
_ACCOUNT_SECONDS = 365 * 86400.0
# Administrators see messages for a day after they expire.
_EXPIRED_MESSAGES = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long rows are kept: expired tokens, events, and counts of attempts."""

    expired_days: int
    event_days: int
    count_seconds: float


class Housekeeping:
    """Deletes rows after their retention period, in one process at a time.

    It also creates the partitions of events, and drops them.

    ``clock`` returns UTC seconds.
    """

    def __init__(
        self, database: Database, *, clock: Callable[[], float], keep: RetentionPolicy
    ) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep
        self._months = EventMonths()

    async def remove(self) -> float:
        """Delete expired rows, batch by batch; return in how many seconds to do so again.

        Raises DatabaseError.
        """
        async with self._database.dedicated_connection(_MAX_TURN_SECONDS) as connection:
            await self._months.create(connection, self._ago(timedelta()))
            await self._remove_tokens(connection)
            await self._remove_events(connection)
            await _remove_reservations(connection)
            await self._remove_messages(connection)
            await self._remove_counts(connection, self._keep.count_seconds)
            await self._remove_counts(connection, _ACCOUNT_SECONDS, accounts=True)
        return _IDLE_SECONDS

    async def _remove_tokens(self, connection: Connection) -> None:
        before = self._ago(timedelta(days=self._keep.expired_days))
        since = datetime.min.replace(tzinfo=UTC)

        async def remove() -> int:
            nonlocal since
            removed, since = await expired_tokens.delete_expired(
                connection, since=since, before=before, limit=_BATCH
            )
            return removed

        await _repeat(connection, remove)

    async def _remove_events(self, connection: Connection) -> None:
        # Whole months: events of months without a partition are deleted row by row.
        before = Month.of(self._ago(timedelta(days=self._keep.event_days))).start
        if await self._months.drop(connection, before):
            await _repeat(
                connection, lambda: events.delete_old(connection, before=before, limit=_BATCH)
            )

    async def _remove_messages(self, connection: Connection) -> None:
        before = self._ago(_EXPIRED_MESSAGES)
        await _repeat(
            connection, lambda: messages.delete_expired(connection, before=before, limit=_BATCH)
        )
        # They contain the email address of a deleted user.
        now = self._ago(timedelta())
        await _repeat(
            connection,
            lambda: messages.delete_expired_deletions(connection, before=now, limit=_BATCH),
        )

    async def _remove_counts(
        self, connection: Connection, kept_seconds: float, *, accounts: bool = False
    ) -> None:
        since = datetime.min  # noqa: DTZ901 - a column without a time zone

        async def remove() -> int:
            nonlocal since
            removed, since = await counts.delete_old(
                connection, accounts=accounts, since=since, kept_seconds=kept_seconds, limit=_BATCH
            )
            return removed

        await _repeat(connection, remove)

    def _ago(self, time: timedelta) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC) - time


async def _remove_reservations(connection: Connection) -> None:
    await _repeat(connection, lambda: reserved_emails.delete_expired(connection, limit=_BATCH))


async def _repeat(connection: Connection, remove: Callable[[], Awaitable[int]]) -> None:
    """Delete batch after batch while they are full, with pauses in between.

    During a batch of another process, leave the rest to that process.
    """
    removed = _BATCH
    while removed == _BATCH:
        # The clock of the event loop counts milliseconds: a shorter batch would take no time.
        began = time.perf_counter()
        async with expired_tokens.housekeeping_turn(connection) as is_ours:
            removed = await remove() if is_ours else 0
        await asyncio.sleep(_PAUSE * (time.perf_counter() - began))
