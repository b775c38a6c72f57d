"""Password hashes, made and verified on worker threads.

A stored hash is ``$userauth-bcrypt-sha384`` followed by a bcrypt string. bcrypt reads
72 bytes and stops at NUL, so the password (NFC, UTF-8) is condensed first: HMAC-SHA-384
keyed with the hash's own salt, in base64, 64 bytes. The salt as key keeps a stolen hash
from being tried against unkeyed SHA-384 lists; no secret of the server takes part, so no
rotation of keys can lose a password. The prefix leaves room for other schemes.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import string
import time
import unicodedata
from contextlib import AbstractContextManager
from functools import partial

import bcrypt

from auth.hashing_lane import HashingLane

CHEAPEST_COST = 4
SCHEME = "$userauth-bcrypt-sha384"
_SALT = slice(7, 29)  # of "$2b$12$" + 22 characters of salt + 31 of digest
_DIGEST_ALPHABET = "./" + string.ascii_letters + string.digits


class PasswordHasher:
    """Hashes and verifies passwords off the event loop.

    ``cost`` is bcrypt's: 2^cost rounds. ``workers`` and ``max_wait_seconds`` are those of the
    lane in which hashes wait.
    """

    def __init__(self, *, cost: int, workers: int, max_wait_seconds: float) -> None:
        self._cost = cost
        self._lane = HashingLane(
            workers=workers,
            max_wait_seconds=max_wait_seconds,
            seconds_each=_measure_cheapest() * 2 ** (cost - CHEAPEST_COST),
        )
        # Verified where there is no user, so that this takes as long as where there is one.
        digest = "".join(secrets.choice(_DIGEST_ALPHABET) for _ in range(31))
        self._nobody = SCHEME + bcrypt.gensalt(cost).decode() + digest

    def place(self) -> AbstractContextManager[None]:
        """Hold a place in the lane for a hash to come; raises Overloaded where it is full."""
        return self._lane.place()

    @property
    def has_free_worker(self) -> bool:
        """Tell whether a hash would begin at once."""
        return self._lane.has_free_worker

    async def hash(self, password: str) -> str:
        """Return a new hash of the password, to be stored."""
        return await self._lane.run(partial(_hash, password, self._cost))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether the password is the stored one; None takes as long and is False."""
        compared = self._nobody if stored is None else stored
        matches = await self._lane.run(partial(_verify, password, compared, self._cost))
        return matches and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether a stored hash is of another cost than new ones."""
        return _cost(stored) != self._cost

    def abandon(self, task: "asyncio.Task[object]") -> None:
        """Drop the hash that a task waits for, unless it has begun."""
        self._lane.abandon(task)

    def close(self) -> None:
        """Stop the workers; hashes that wait are dropped."""
        self._lane.close()


def _measure_cheapest() -> float:
    began = time.perf_counter()
    bcrypt.hashpw(b"", bcrypt.gensalt(CHEAPEST_COST))
    return time.perf_counter() - began


def _hash(password: str, cost: int) -> str:
    salt = bcrypt.gensalt(cost)
    return SCHEME + bcrypt.hashpw(_condense(password, salt), salt).decode("ascii")


def _verify(password: str, stored: str, least_cost: int) -> bool:
    expected = _bcrypt_part(stored).encode("ascii")
    matches = bcrypt.checkpw(_condense(password, expected), expected)
    if not matches:
        # A hash of a lower cost must not tell, by a quicker refusal, that there is a user:
        # 2^c + 2^c + 2^(c+1) + … + 2^(n-1) rounds are 2^n.
        for cost in range(_cost(stored), least_cost):
            bcrypt.hashpw(b"", bcrypt.gensalt(cost))
    return matches


def _cost(stored: str) -> int:
    return int(_bcrypt_part(stored).split("$")[2])


def _condense(password: str, bcrypt_string: bytes) -> bytes:
    text = unicodedata.normalize("NFC", password).encode("utf-8")
    return base64.b64encode(hmac.digest(bcrypt_string[_SALT], text, hashlib.sha384))


def _bcrypt_part(stored: str) -> str:
    if not stored.startswith(SCHEME + "$"):
        raise ValueError("The stored password hash is of an unknown scheme.")
    return stored.removeprefix(SCHEME)
