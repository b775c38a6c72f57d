"""The hashing and verification of passwords in slots of the hash queue."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from contextlib import asynccontextmanager
from functools import partial

from rules.errors import Overloaded
from rules.hash_queue import HashQueue, Slot
from rules.password_scheme import PasswordScheme, is_own
from rules.password_verifier import PasswordVerifier, ReadImported
from rules.turns import Caller

# Hashes that take more memory are computed one at a time.
_MAX_SHARED_BYTES = 64 * 2**20
# The measurement of a kind waits in the queue like any other caller.
_MEASUREMENT = Caller.at(None, "measurement")
Sleep = Callable[[float], Awaitable[None]]


class HashSlot:
    """A slot of the hash queue to hash and verify passwords in."""

    def __init__(
        self, slot: Slot, scheme: PasswordScheme, verifier: PasswordVerifier, sleep: Sleep
    ) -> None:
        self._slot = slot
        self._scheme = scheme
        self._verifier = verifier
        self._sleep = sleep

    async def hash(self, password: str) -> str:
        """Return a new hash of the password, to be stored."""
        return await self._slot.run(partial(self._scheme.hash, password))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Return whether the password is the stored one.

        No password matches for an unknown user (None), or a hash whose pepper is missing, which is
        logged as an error. A rejection is delayed in the slot: otherwise the time of several
        attempts at once would reveal what was hashed.
        """
        delay_seconds = await self._verifier.verify(self._slot, password, stored)
        if delay_seconds is not None:
            await self._sleep(delay_seconds)
        return delay_seconds is None


class PasswordHasher:
    """Grants slots to hash and verify passwords in, off the event loop.

    ``read_imported`` reads a hash of another service, and raises ValueError for an unknown format.
    ``timer`` returns seconds; ``sleep`` delays rejections.
    """

    def __init__(
        self,
        scheme: PasswordScheme,
        queue: HashQueue,
        read_imported: ReadImported,
        *,
        timer: Callable[[], float] = time.perf_counter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.scheme = scheme
        self.queue = queue
        self._read_imported = read_imported
        self._verifier = PasswordVerifier(
            scheme, read_imported, usual_seconds=queue.seconds_each, timer=timer
        )
        self._sleep = sleep
        self._large_hash = asyncio.Lock()

    @asynccontextmanager
    async def slot(self, caller: Caller, stored: str | None = None) -> AsyncIterator[HashSlot]:
        """Wait for a slot in turn, and hold it; raises Overloaded or CallerDisconnected.

        ``stored`` is the hash that a password will be verified against, if any.
        """
        # The queue first: a caller that waits for memory must not bypass its bounds.
        async with self.queue.slot(caller) as slot, self._memory(stored):
            yield HashSlot(slot, self.scheme, self._verifier, self._sleep)

    async def measure(self, stored: str) -> None:
        """Measure a hash of another service; from now on, rejections take at least as long."""
        async with self.queue.slot(_MEASUREMENT) as slot, self._memory(stored):
            await self._verifier.verify(slot, "", stored)

    def retain_kinds(self, kinds: Container[str]) -> None:
        """Stop delaying rejections for kinds of imported hashes that are not among these."""
        self._verifier.retain_kinds(kinds)

    def should_renew(self, password: str, stored: str) -> bool:
        """Return whether a stored hash that a password matches should be replaced by a new one.

        False if the hash ignores the end of the password, which may be wrong.
        """
        if not self.scheme.needs_rehash(stored):
            return False
        return is_own(stored) or self._read_imported(stored).reads_whole(password)

    def close(self) -> None:
        """Stop the workers; waiting hashes are dropped."""
        self.queue.close()

    @asynccontextmanager
    async def _memory(self, stored: str | None) -> AsyncIterator[None]:
        """Wait until no other hash takes much memory, if this one does; raises Overloaded."""
        if not self._is_large(stored):
            yield
            return
        max_wait_seconds = self.queue.max_wait_seconds
        try:
            async with asyncio.timeout(max_wait_seconds):
                await self._large_hash.acquire()
        except TimeoutError:
            raise Overloaded(math.ceil(max_wait_seconds)) from None
        try:
            yield
        finally:
            self._large_hash.release()

    def _is_large(self, stored: str | None) -> bool:
        if stored is None or is_own(stored):
            return False
        return self._read_imported(stored).memory > _MAX_SHARED_BYTES
