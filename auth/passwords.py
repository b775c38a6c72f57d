"""Password hashes, made and verified on worker threads.

A stored hash is ``$userauth-bcrypt-sha384`` followed by a bcrypt string. bcrypt reads
72 bytes and stops at NUL, so the password (NFC, UTF-8) is condensed first: HMAC-SHA-384
keyed with the hash's own salt, in base64, 64 bytes. The salt as key keeps a stolen hash
from being tried against unkeyed SHA-384 lists. The signing keys take no part: to rotate
them loses no password. The prefix leaves room for other schemes.

A pepper is a secret that the database does not hold: without it, stolen hashes cannot be
tried at all. Where there is one, what is condensed goes through HMAC-SHA-384 under the
pepper, in base64 again, and the stored hash is ``$userauth-bcrypt-sha384+PEPPER_ID``
followed by the bcrypt string. Who loses the pepper loses the passwords. To rotate, put the
new one first and keep the old ones until no hash names them: a hash is renewed when its
user next logs in. Hashes without a pepper stay good, and are renewed likewise. Where several
servers share the database, let all of them know the new one, behind the old, beforehand.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import re
import secrets
import string
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

import bcrypt

from auth.hashing_lane import First, HashingLane, ObserveHash

CHEAPEST_COST = 4
SCHEME = "$userauth-bcrypt-sha384"
_STORED = re.compile(re.escape(SCHEME) + r"(?:\+([0-9a-f]{12}))?(\$.+)")
_WELL_FORMED = re.compile(
    re.escape(SCHEME) + r"(?:\+[0-9a-f]{12})?\$2b\$(?:0[4-9]|1[0-8])\$[./A-Za-z0-9]{53}"
)
_SALT = slice(7, 29)  # of "$2b$12$" + 22 characters of salt + 31 of digest
_DIGEST_ALPHABET = "./" + string.ascii_letters + string.digits
VerifyForeign = Callable[[str, str], bool]
_log = logging.getLogger("userauth")  # ops.logs.SERVER, which rules do not know


@dataclass(frozen=True, slots=True)
class _Pepper:
    id: str
    key: bytes = field(repr=False)


class PasswordHasher:
    """Hashes and verifies passwords off the event loop.

    ``cost`` is bcrypt's: 2^cost rounds. ``workers`` and ``max_wait_seconds`` are those of the
    lane in which hashes wait. ``peppers`` are newest first: the first one makes hashes, all of
    them verify; without any, hashes are made without. ``verify_foreign`` verifies a password
    against a hash of another service, and raises ValueError where it knows none such.
    ``observe`` is told of each hash that was computed.
    """

    def __init__(
        self,
        *,
        cost: int,
        workers: int,
        max_wait_seconds: float,
        verify_foreign: VerifyForeign,
        peppers: Sequence[str] = (),
        observe: ObserveHash | None = None,
    ) -> None:
        self._cost = cost
        self._verify_foreign = verify_foreign
        known = [_Pepper(pepper_id(pepper), pepper.encode()) for pepper in peppers]
        self._peppers = {pepper.id: pepper for pepper in known}
        self._newest = known[0] if known else None
        self._unknown_told: set[str] = set()
        self._cheapest_seconds = _measure_cheapest()
        self.lane = HashingLane(
            workers=workers,
            max_wait_seconds=max_wait_seconds,
            seconds_each=self._cheapest_seconds * 2 ** (cost - CHEAPEST_COST),
            observe=observe,
        )
        # Verified where there is no user, so that this takes as long as where there is one.
        digest = "".join(secrets.choice(_DIGEST_ALPHABET) for _ in range(31))
        self._nobody = _scheme(self._newest) + bcrypt.gensalt(cost).decode() + digest

    def place(self) -> AbstractContextManager[None]:
        """Hold a place in the lane for a hash to come; raises Overloaded where it is full."""
        return self.lane.place()

    @property
    def has_free_worker(self) -> bool:
        """Tell whether a hash would begin at once."""
        return self.lane.has_free_worker

    async def hash(self, password: str, first: First | None = None) -> str:
        """Return a new hash of the password, to be stored; ``first`` as in verify()."""
        return await self.lane.run(partial(_hash, password, self._cost, self._newest), first)

    async def verify(self, password: str, stored: str | None, first: First | None = None) -> bool:
        """Tell whether the password is the stored one; None takes as long and is False.

        So does a hash that names a pepper that is not known, which is logged as an error.
        ``first`` is awaited when the hash may begin; what it raises ends it there.
        """
        compared = self._nobody if stored is None else stored
        if is_ours(compared):
            verify = partial(_verify, password, compared, self._cost, self._peppers)
            self._tell_unknown_pepper(compared)
        else:
            verify = partial(self._verify_of_others, password, compared)
        matches = await self.lane.run(verify, first)
        return matches and stored is not None

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether a stored hash is of another scheme, cost or pepper than new ones."""
        if not is_ours(stored):
            return True
        named, bcrypt_string = _parts(stored)
        newest = self._newest.id if self._newest else None
        return named != newest or _cost(bcrypt_string) != self._cost

    def check_ours(self, stored: str) -> None:
        """Raise ValueError, with a reason that quotes nothing, where no password can match."""
        if _WELL_FORMED.fullmatch(stored) is None:
            raise ValueError("This is no well-formed hash of this server.")
        named, _ = _parts(stored)
        if named is not None and named not in self._peppers:
            raise ValueError(f"It needs the pepper {named}, which passwords.pepper does not hold.")

    def abandon(self, task: "asyncio.Task[object]") -> None:
        """Drop the hash that a task waits for, unless it has begun."""
        self.lane.abandon(task)

    def close(self) -> None:
        """Stop the workers; hashes that wait are dropped."""
        self.lane.close()

    def _verify_of_others(self, password: str, stored: str) -> bool:
        began = time.perf_counter()
        matches = self._verify_foreign(password, stored)
        if not matches:
            # As above: a quicker hash must not tell that there is a user.
            spent = time.perf_counter() - began
            whole = self._cheapest_seconds * 2 ** (self._cost - CHEAPEST_COST)
            for cost in range(self._cost - 1, CHEAPEST_COST - 1, -1):
                seconds = self._cheapest_seconds * 2 ** (cost - CHEAPEST_COST)
                if spent + seconds <= whole:
                    bcrypt.hashpw(b"", bcrypt.gensalt(cost))
                    spent += seconds
        return matches

    def _tell_unknown_pepper(self, stored: str) -> None:
        named, _ = _parts(stored)
        if named is None or named in self._peppers or named in self._unknown_told:
            return
        self._unknown_told.add(named)
        _log.error(
            "password hashes name the pepper %s, which passwords.pepper does not hold: nobody who"
            " has one of them can log in. Put that pepper back, behind the newest.",
            named,
        )


def is_ours(stored: str) -> bool:
    """Tell whether a stored hash is of our scheme."""
    return stored.startswith(SCHEME)


def pepper_id(pepper: str) -> str:
    """Return the name by which hashes speak of a pepper; it reveals nothing of a random one."""
    return hmac.digest(pepper.encode(), b"userauth.pepper-id", hashlib.sha256).hex()[:12]


def _measure_cheapest() -> float:
    began = time.perf_counter()
    bcrypt.hashpw(b"", bcrypt.gensalt(CHEAPEST_COST))
    return time.perf_counter() - began


def _hash(password: str, cost: int, pepper: _Pepper | None) -> str:
    salt = bcrypt.gensalt(cost)
    condensed = _condense(password, salt, pepper)
    return _scheme(pepper) + bcrypt.hashpw(condensed, salt).decode("ascii")


def _verify(password: str, stored: str, least_cost: int, peppers: Mapping[str, _Pepper]) -> bool:
    named, bcrypt_string = _parts(stored)
    # Where the pepper is not known the hash is still computed, only for the time that it takes.
    pepper = None if named is None else peppers.get(named, _Pepper(named, b""))
    expected = bcrypt_string.encode("ascii")
    is_equal = bcrypt.checkpw(_condense(password, expected, pepper), expected)
    matches = is_equal and (named is None or named in peppers)
    if not matches:
        # A hash of a lower cost must not tell, by a quicker refusal, that there is a user:
        # 2^c + 2^c + 2^(c+1) + … + 2^(n-1) rounds are 2^n.
        for cost in range(_cost(bcrypt_string), least_cost):
            bcrypt.hashpw(b"", bcrypt.gensalt(cost))
    return matches


def _cost(bcrypt_string: str) -> int:
    return int(bcrypt_string.split("$")[2])


def _condense(password: str, bcrypt_string: bytes, pepper: _Pepper | None) -> bytes:
    text = unicodedata.normalize("NFC", password).encode("utf-8")
    condensed = base64.b64encode(hmac.digest(bcrypt_string[_SALT], text, hashlib.sha384))
    if pepper is None:
        return condensed
    return base64.b64encode(hmac.digest(pepper.key, condensed, hashlib.sha384))


def _scheme(pepper: _Pepper | None) -> str:
    return SCHEME if pepper is None else f"{SCHEME}+{pepper.id}"


def _parts(stored: str) -> tuple[str | None, str]:
    """Return the id of the pepper that a stored hash names, if any, and its bcrypt string."""
    parts = _STORED.fullmatch(stored)
    if parts is None:
        raise ValueError("The stored password hash is of an unknown scheme.")
    return parts[1], parts[2]
