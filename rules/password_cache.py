"""Passwords that were right a moment ago, so that a client may send one with every request.

What is kept is no password and no hash of one that means anything outside this process: an
HMAC under a random key that dies with it, over the password and the stored hash that it was
verified against. It is known again only at the place where it was right, and is forgotten after a
few others were tried there: what is compared here costs no hash, and must be no way to guess.
The stored hash is read from the database for each request, so a password that was changed, or a
user who was deleted, is not remembered.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from rules.text_bounds import nfc

MOST = 10_000
# How long, at the most, one is kept beyond its time, where nobody comes to push it out.
FORGET_SECONDS = 1.0
# How many other passwords are compared with one.
MISSES = 5


@dataclass(slots=True)
class _Remembered:
    digest: bytes
    until: float
    misses: int = 0


class PasswordCache:
    """Remembers passwords that were right, for ``seconds`` (0: not at all) after the last use.

    The number is bounded.

    ``clock`` returns seconds that only go forward.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._entries: OrderedDict[bytes, _Remembered] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._entries)

    def add(self, password: str, stored_hash: str, place: str) -> None:
        """Remember that a password was right, at a place."""
        if self._seconds <= 0:
            return
        self.forget_expired()
        key = self._digest(place, stored_hash)
        until = self._clock() + self._seconds
        self._entries[key] = _Remembered(self._digest(password, stored_hash), until)
        self._entries.move_to_end(key)
        while len(self._entries) > MOST:
            self._entries.popitem(last=False)

    def holds(self, password: str, stored_hash: str, place: str) -> bool:
        """Tell whether a password was right a moment ago, there, against this very stored hash.

        It is remembered anew: those who come again and again would all have to be hashed again
        at the same time, a while after the server was started.
        """
        self.forget_expired()
        if not self._entries:
            return False
        key = self._digest(place, stored_hash)
        entry = self._entries.get(key)
        if entry is None:
            return False
        if not hmac.compare_digest(entry.digest, self._digest(password, stored_hash)):
            entry.misses += 1
            if entry.misses >= MISSES:
                del self._entries[key]
            return False
        entry.until = self._clock() + self._seconds
        self._entries.move_to_end(key)
        return True

    async def forget(self) -> float:
        """Drop what was remembered long enough; return in how many seconds to do so again."""
        self.forget_expired()
        return FORGET_SECONDS

    def forget_expired(self) -> None:
        """Drop what was remembered long enough: in memory, it is worth guessing against."""
        now = self._clock()
        # The oldest come first.
        while self._entries and next(iter(self._entries.values())).until <= now:
            self._entries.popitem(last=False)

    def _digest(self, password: str, stored_hash: str) -> bytes:
        # The stored hash has a fixed alphabet without NUL: it ends where the password begins.
        text = f"{stored_hash}\0{nfc(password)}"
        return hmac.digest(self._key, text.encode("utf-8"), hashlib.sha256)
