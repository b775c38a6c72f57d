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
import os
import secrets
import string
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import bcrypt

SCHEME = "$userauth-bcrypt-sha384"
_SALT = slice(7, 29)  # of "$2b$12$" + 22 characters of salt + 31 of digest
_DIGEST_ALPHABET = "./" + string.ascii_letters + string.digits


class PasswordHasher:
    """Hashes and verifies passwords off the event loop.

    ``cost`` is bcrypt's (2^cost rounds); ``workers`` is how many hash at a time, 0 for one
    per core.
    """

    def __init__(self, *, cost: int, workers: int) -> None:
        self._cost = cost
        self._workers = ThreadPoolExecutor(
            max_workers=workers or os.cpu_count() or 1, thread_name_prefix="password"
        )
        # Verified where there is no user, so that this takes as long as where there is one.
        digest = "".join(secrets.choice(_DIGEST_ALPHABET) for _ in range(31))
        self._nobody = SCHEME + bcrypt.gensalt(cost).decode() + digest

    async def hash(self, password: str) -> str:
        """Return a new hash of the password, to be stored."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._workers, _hash, password, self._cost)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether the password is the stored one; None takes as long and is False."""
        loop = asyncio.get_running_loop()
        compared = self._nobody if stored is None else stored
        matches = await loop.run_in_executor(self._workers, _verify, password, compared)
        return matches and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether a stored hash is of another cost than new ones."""
        return _bcrypt_part(stored).split("$")[2] != f"{self._cost:02d}"

    def close(self) -> None:
        """Stop the workers; hashes that wait are dropped."""
        self._workers.shutdown(wait=True, cancel_futures=True)


def _hash(password: str, cost: int) -> str:
    salt = bcrypt.gensalt(cost)
    return SCHEME + bcrypt.hashpw(_condense(password, salt), salt).decode("ascii")


def _verify(password: str, stored: str) -> bool:
    expected = _bcrypt_part(stored).encode("ascii")
    return bcrypt.checkpw(_condense(password, expected), expected)


def _condense(password: str, bcrypt_string: bytes) -> bytes:
    text = unicodedata.normalize("NFC", password).encode("utf-8")
    return base64.b64encode(hmac.digest(bcrypt_string[_SALT], text, hashlib.sha384))


def _bcrypt_part(stored: str) -> str:
    if not stored.startswith(SCHEME + "$"):
        raise ValueError("The stored password hash is of an unknown scheme.")
    return stored.removeprefix(SCHEME)
