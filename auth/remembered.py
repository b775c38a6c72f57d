"""Passwords that were right a moment ago, so that a client may send one with every request.

What is kept is no password and no hash of one that means anything outside this process: an
HMAC under a random key that dies with it, over the password and the stored hash that it was
verified against. The stored hash is read from the database for each request, so a password
that was changed, or a user who was deleted, is not remembered.
"""

import hashlib
import hmac
import secrets
import unicodedata
from collections import OrderedDict
from collections.abc import Callable

MOST = 10_000


class RememberedPasswords:
    """Remembers for ``seconds`` (0: not at all) that passwords were right; a bounded number.

    ``clock`` returns seconds that only go forward.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def add(self, password: str, stored_hash: str) -> None:
        """Remember that a password was right."""
        if self._seconds <= 0:
            return
        digest = self._digest(password, stored_hash)
        self._until[digest] = self._clock() + self._seconds
        self._until.move_to_end(digest)
        while len(self._until) > MOST:
            self._until.popitem(last=False)

    def holds(self, password: str, stored_hash: str) -> bool:
        """Tell whether a password was right a moment ago, against this very stored hash."""
        if not self._until:
            return False
        digest = self._digest(password, stored_hash)
        until = self._until.get(digest)
        if until is None:
            return False
        if until <= self._clock():
            del self._until[digest]
            return False
        return True

    def _digest(self, password: str, stored_hash: str) -> bytes:
        # The stored hash has a fixed alphabet without NUL: it ends where the password begins.
        text = f"{stored_hash}\0{unicodedata.normalize('NFC', password)}"
        return hmac.digest(self._key, text.encode("utf-8"), hashlib.sha256)
