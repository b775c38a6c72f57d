"""Passwords, hashed and verified in slots of the hash queue."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from ops.logs import SERVER
from rules.errors import Overloaded
from rules.hash_queue import HashQueue, Slot
from rules.password_scheme import PasswordScheme, cost_of, is_own
from rules.rejections import RejectionTimes
from rules.text_bounds import nfc
from rules.turns import Caller

# Hashes that take more memory are computed one at a time.
_MAX_SHARED_BYTES = 64 * 2**20
# The prefix of kinds that are hashes of this server, with a higher cost than new ones.
_OWN_KINDS = "own, cost "
# The measurement of a kind waits in the queue like any other caller.
_MEASUREMENT = Caller.at(None, "measurement")
_log = logging.getLogger(SERVER)


class ImportedHash(Protocol):
    """A password hash of another service; see rules/imported_hashes.py."""

    @property
    def kind(self) -> str:
        """Return what is the same for all hashes that take the same time."""

    @property
    def memory(self) -> int:
        """Return how many bytes it takes to compute the hash."""

    def matches(self, password: str) -> bool:
        """Return whether the password is the stored one, in any of its forms."""

    def reads_whole(self, password: str) -> bool:
        """Return whether a match proves every byte of the password."""


ReadImported = Callable[[str], ImportedHash]


class PasswordHasher:
    """Hands out slots to hash and verify passwords in, off the event loop.

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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.scheme = scheme
        self.queue = queue
        self._read_imported = read_imported
        self._timer = timer
        self._sleep = sleep
        self._rejections = RejectionTimes(queue.seconds_each)
        self._large_hash = asyncio.Lock()
        self._logged_peppers: set[str] = set()

    @asynccontextmanager
    async def slot(self, caller: Caller, stored: str | None = None) -> AsyncIterator["HashSlot"]:
        """Wait for a slot in turn, and hold it; raises Overloaded or CallerDisconnected.

        ``stored`` is the hash that a password will be verified against, if any.
        """
        # The queue first: a caller that waits for memory must not bypass its bounds.
        async with self.queue.slot(caller) as slot, self._memory(stored):
            yield HashSlot(self, slot)

    async def verify_in(self, slot: Slot, password: str, stored: str | None) -> bool:
        """Verify a password in a slot; see HashSlot.verify()."""
        rest = await self._check(slot, password, stored)
        if rest is not None:
            await self._sleep(rest)
        return rest is None

    async def measure(self, stored: str) -> None:
        """Measure a hash of another service, so that rejections take as long from now on."""
        async with self.queue.slot(_MEASUREMENT) as slot, self._memory(stored):
            await self._check(slot, "", stored)

    def retain_kinds(self, kinds: Container[str]) -> None:
        """Stop delaying rejections for kinds of imported hashes that are not among these."""
        self._rejections.retain(lambda kind: kind in kinds or kind.startswith(_OWN_KINDS))

    def should_renew(self, password: str, stored: str) -> bool:
        """Return whether a stored hash that a password matches should be replaced by a new one.

        Not where the end of the password did not count: that end may be wrong.
        """
        if not self.scheme.needs_rehash(stored):
            return False
        return is_own(stored) or self._read_imported(stored).reads_whole(password)

    def close(self) -> None:
        """Stop the workers; hashes that wait are dropped."""
        self.queue.close()

    async def _check(self, slot: Slot, password: str, stored: str | None) -> float | None:
        """Return None where a password matches, otherwise how long its rejection has to wait."""
        compared = self.scheme.decoy if stored is None else stored
        imported = None if is_own(compared) else self._read_imported(compared)
        if imported is None:
            verify = partial(self.scheme.verify, password, compared)
            self._log_missing_pepper(compared)
        else:
            verify = partial(imported.matches, password)
        matches, seconds = await slot.run(partial(self._timed, verify))
        if matches and stored is not None:
            return None
        forms = 1 if nfc(password) == password else 2
        self._note(compared, imported, seconds, forms)
        return self._rejections.rest(seconds, forms=forms)

    def _timed(self, verify: Callable[[], bool]) -> tuple[bool, float]:
        began = self._timer()
        matches = verify()
        return matches, self._timer() - began

    def _note(self, stored: str, imported: ImportedHash | None, seconds: float, forms: int) -> None:
        """Record how long a rejected password took."""
        if imported is not None:
            self._rejections.note(imported.kind, seconds / forms)
        elif cost_of(stored) > self.scheme.cost:
            self._rejections.note(f"{_OWN_KINDS}{cost_of(stored)}", seconds)
        else:
            self._rejections.note_usual(seconds)

    @asynccontextmanager
    async def _memory(self, stored: str | None) -> AsyncIterator[None]:
        """Wait until no other hash takes much memory, where this one does; raises Overloaded."""
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

    def _log_missing_pepper(self, stored: str) -> None:
        missing = self.scheme.missing_pepper(stored)
        if missing is None or missing in self._logged_peppers:
            return
        self._logged_peppers.add(missing)
        _log.error(
            "password hashes name the pepper %s, which passwords.pepper does not contain: no user"
            " with such a hash can log in. Put that pepper back, behind the newest.",
            missing,
        )


class HashSlot:
    """A slot of the hash queue to hash and verify passwords in."""

    def __init__(self, hasher: PasswordHasher, slot: Slot) -> None:
        self._hasher = hasher
        self._slot = slot

    async def hash(self, password: str) -> str:
        """Return a new hash of the password, to be stored."""
        return await self._slot.run(partial(self._hasher.scheme.hash, password))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Return whether the password is the stored one; none is that of an unknown user, None.

        Nor is any that of a hash whose pepper is missing, which is logged as an error. A rejection
        returns after the rest of its time, in the slot: otherwise the time of several attempts at
        once would reveal what was hashed.
        """
        return await self._hasher.verify_in(self._slot, password, stored)
