"""The sender: claims messages that are due, one by one, and sends a few at a time.

A message is claimed in a separate statement, with a lease. While it is being sent, neither a
connection nor a lock is held. If the process stops in between, the message is due again when its
lease ends: each message is sent at least once.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial

from db import messages
from db.errors import DatabaseError
from db.message_rows import ClaimedMessage
from db.pool import Database
from mail.delivery import LEASE_SECONDS, Delivery
from mail.errors import RelayFault
from mail.outcomes import (
    Deferred,
    GivenUp,
    Outcome,
    OutcomeCounts,
    Reason,
    Sent,
    record_outcome,
)
from mail.pause import Pause
from mail.relay import Relay
from ops.logs import SERVER
from rules.budget import Budget

# Other processes store messages, and deferred ones become due, without waking this one.
_POLL_SECONDS = 5.0
# The interval of attempts while Postgres is unavailable.
_RETRY_SECONDS = 2.0
# A relay that hangs must not prolong a stop.
_GOODBYE_SECONDS = 1.0
_BUDGET_KEY = "relay"
# After this many urgent messages in a row, send a non-urgent one if any is due: a user who changes
# a password again and again must not delay the messages of all others.
_URGENT_IN_A_ROW = 3
# Delay, after the next probe, before a message is retried that failed because of the relay.
_AFTER_PROBE_SECONDS = 5.0


class Sender:
    """Sends the messages in the database until it is closed.

    Each of the ``relays`` sends one message at a time. ``wake`` is set when a message was stored.
    ``clock`` returns monotonic seconds, for the budget of messages and for pauses.
    """

    def __init__(
        self,
        database: Database,
        delivery: Delivery,
        *,
        relays: Sequence[Relay],
        wake: asyncio.Event,
        per_minute: int,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._delivery = delivery
        self._relays = relays
        self._free = list(relays)
        self._wake = wake
        self._budget = Budget(per_minute, clock)
        self._pause = Pause(clock)
        self._running: set[asyncio.Task[None]] = set()
        self._unrecorded: list[tuple[ClaimedMessage, Outcome]] = []
        self._urgent_in_a_row = 0
        self._is_closing = False
        self._is_failing = False
        self.counts = OutcomeCounts()
        self._task = asyncio.get_running_loop().create_task(self._repeat())

    @property
    def is_paused(self) -> bool:
        """Return whether messages wait because the relay sends nothing."""
        return self._pause.is_on

    async def close(self, seconds: float) -> None:
        """Stop claiming messages, and wait at most ``seconds`` for those being sent.

        If one takes longer, it is sent again when its lease ends.
        """
        self._is_closing = True
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # First the task that starts the other tasks.
                await asyncio.wait({self._task})
                await asyncio.wait({self._task, *self._running})
        tasks = {self._task, *self._running}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(DatabaseError):
            await self._record_left()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await asyncio.gather(*(relay.close() for relay in self._relays))

    async def _repeat(self) -> None:
        while not self._is_closing:
            # Before the search, so that no message is missed.
            self._wake.clear()
            try:
                seconds = await self._start_next()
                self._is_failing = False
            except DatabaseError as error:
                self._warn(error)
                seconds = _RETRY_SECONDS
            except Exception:
                logging.getLogger(SERVER).exception("the search for messages to send failed")
                seconds = _RETRY_SECONDS
            if seconds and not self._is_closing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._wake.wait()

    def _warn(self, error: DatabaseError) -> None:
        """Log the first of several failures."""
        if not self._is_failing:
            self._is_failing = True
            logging.getLogger(SERVER).warning("messages cannot be sent now: %s", error)

    async def _start_next(self) -> float:
        """Start to send the next message; return how long to wait before the one after it."""
        # While paused, send one message at a time as a probe.
        if self._running and (self._pause.is_on or not self._free):
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            return 0.0
        await self._record_left()
        wait = self._pause.wait_seconds() or self._budget.wait_seconds(_BUDGET_KEY)
        if wait:
            return min(wait, _POLL_SECONDS)
        message = await self._claim()
        if message is None:
            return _POLL_SECONDS
        if message.is_valid and message.recipient is not None:
            self._budget.spend(_BUDGET_KEY)
            self._urgent_in_a_row = self._urgent_in_a_row + 1 if message.is_urgent else 0
        task = asyncio.create_task(self._send(message, self._free.pop()))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return 0.0

    async def _claim(self) -> ClaimedMessage | None:
        now = self._delivery.now()
        lease_until = now + timedelta(seconds=LEASE_SECONDS)
        async with self._database.connection() as connection:
            claim = partial(messages.claim_next, connection, now=now, lease_until=lease_until)
            if self._urgent_in_a_row >= _URGENT_IN_A_ROW:
                return await claim(takes_urgent=False) or await claim()
            return await claim()

    async def _send(self, message: ClaimedMessage, relay: Relay) -> None:
        try:
            outcome = await self._attempt(message, relay)
        finally:
            self._free.append(relay)
        self.counts.add(outcome)
        self._unrecorded.append((message, outcome))
        # If that fails, at the next turn: the message must not be sent again.
        with suppress(DatabaseError):
            await self._record_left()

    async def _attempt(self, message: ClaimedMessage, relay: Relay) -> Outcome:
        try:
            outcome = await self._delivery.attempt(message, relay)
        except RelayFault as fault:
            self._pause.begin(fault)
            # This message alone may be the cause: the next probe is another message.
            seconds = self._pause.wait_seconds() + _AFTER_PROBE_SECONDS
            until = self._delivery.now() + timedelta(seconds=seconds)
            return Deferred(until, str(fault), is_counted=False)
        except Exception:
            logging.getLogger(SERVER).exception("a message was not sent")
            return self._delivery.later(message, "an error of the server, which its log explains")
        match outcome:
            case Sent() | Deferred(is_of_relay=True) | GivenUp(reason=Reason.REJECTED):
                self._pause.end()
        return outcome

    async def _record_left(self) -> None:
        """Record the outcomes that are not recorded yet; raises DatabaseError."""
        while self._unrecorded:
            pair = self._unrecorded.pop()
            try:
                async with self._database.connection() as connection:
                    await record_outcome(connection, *pair)
            except BaseException:
                self._unrecorded.append(pair)
                raise
