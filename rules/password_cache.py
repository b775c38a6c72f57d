"""A cache of recently verified passwords, for callers that send one with every request.

It stores neither passwords nor hashes that are of use outside this process, but an HMAC over the
password and the stored hash that it was verified against, under a random key that the process never
stores. An entry matches only in the network where the password was verified, and is removed after a
few wrong passwords from there: the comparison is cheap, and must not help to guess passwords. The
stored hash is read from the database for each request, so a changed password or a deleted user
never matches.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from rules.text_bounds import nfc

MAX_ENTRIES = 10_000
# An expired entry stays in memory at most this long.
SWEEP_SECONDS = 1.0
# How many wrong passwords are compared with an entry before it is removed.
MAX_MISSES = 5


@dataclass(slots=True)
class _Entry:
    digest: bytes
    expires_at: float
    misses: int = 0


class PasswordCache:
    """Caches verified passwords for ``seconds`` after their last use; 0 disables it.

    ``clock`` returns monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def __len__(self) -> int:
        """Return how many passwords are cached."""
        return len(self._entries)

    def add(self, password: str, stored_hash: str, network: str) -> None:
        """Add a password that was verified for a request from a network."""
        if self._seconds <= 0:
            return
        self.remove_expired()
        key = self._digest(network, stored_hash)
        expires_at = self._clock() + self._seconds
        self._entries[key] = _Entry(self._digest(password, stored_hash), expires_at)
        self._entries.move_to_end(key)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def matches(self, password: str, stored_hash: str, network: str) -> bool:
        """Return whether a password was recently verified against this hash, from this network.

        A match renews the entry: otherwise the passwords of all regular callers would have to be
        hashed at the same time, a while after the server started.
        """
        self.remove_expired()
        if not self._entries:
            return False
        key = self._digest(network, stored_hash)
        entry = self._entries.get(key)
        if entry is None:
            return False
        if not hmac.compare_digest(entry.digest, self._digest(password, stored_hash)):
            entry.misses += 1
            if entry.misses >= MAX_MISSES:
                del self._entries[key]
            return False
        entry.expires_at = self._clock() + self._seconds
        self._entries.move_to_end(key)
        return True

    async def sweep(self) -> float:
        """Remove expired entries; return in how many seconds to do so again."""
        self.remove_expired()
        return SWEEP_SECONDS

    def remove_expired(self) -> None:
        """Remove expired entries: a copy of the memory could be used to test guesses."""
        now = self._clock()
        # The oldest come first.
        while self._entries and next(iter(self._entries.values())).expires_at <= now:
            self._entries.popitem(last=False)

    def _digest(self, text: str, stored_hash: str) -> bytes:
        # The stored hash has a fixed alphabet without NUL, so the separator is unambiguous.
        message = f"{stored_hash}\0{nfc(text)}"
        return hmac.digest(self._key, message.encode("utf-8"), hashlib.sha256)
