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
import math
import re
import secrets
import string
import time
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import bcrypt

from rules.errors import Overloaded
from rules.hash_queue import HashQueue, Observe
from rules.refusals import RefusalTimes
from rules.text_bounds import nfc
from rules.turns import Caller

CHEAPEST_COST = 4
SCHEME = "$userauth-bcrypt-sha384"
_STORED = re.compile(re.escape(SCHEME) + r"(?:\+([0-9a-f]{12}))?(\$.+)")
_WELL_FORMED = re.compile(
    re.escape(SCHEME) + r"(?:\+[0-9a-f]{12})?\$2b\$(?:0[4-9]|1[0-8])\$[./A-Za-z0-9]{53}"
)
_SALT = slice(7, 29)  # of "$2b$12$" + 22 characters of salt + 31 of digest
_DIGEST_ALPHABET = "./" + string.ascii_letters + string.digits
# Hashes that take more memory are computed one at a time.
_BIG_BYTES = 64 * 2**20
# How the kinds of our own hashes begin, those of a higher cost than new ones.
_OURS = "ours, cost "
# Nobody waits for it, and it waits like everybody.
_MEASURING = Caller.at(None, "measurement")
_log = logging.getLogger("userauth")  # ops.logs.SERVER, which rules do not know


@dataclass(frozen=True, slots=True)
class _Pepper:
    id: str
    key: bytes = field(repr=False)


class Foreign(Protocol):
    """A password hash of another service; see rules/imported_hashes.py."""

    @property
    def kind(self) -> str:
        """Return what is the same for all that take the same time."""

    @property
    def memory(self) -> int:
        """Return how many bytes it takes to compute it."""

    def matches(self, password: str) -> bool:
        """Tell whether the password is the stored one, in any of its forms."""

    def reads_whole(self, password: str) -> bool:
        """Tell whether a match proves every byte of the password."""


ReadForeign = Callable[[str], Foreign]


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether a password matches; where not, in how many seconds it may be refused."""

    matches: bool
    rest_seconds: float


class PasswordHasher:
    """Hashes and verifies passwords off the event loop.

    ``cost`` is bcrypt's: 2^cost rounds. ``workers``, ``max_wait_seconds``, ``max_per_account``
    and the two observers are those of the queue in which hashes wait. ``peppers`` are newest
    first: the first one makes hashes, all of them verify; without any, hashes are made without.
    ``read_foreign`` reads a hash of another service, and raises ValueError where it knows none
    such. ``timer`` returns seconds.
    """

    def __init__(
        self,
        *,
        cost: int,
        workers: int,
        max_wait_seconds: float,
        read_foreign: ReadForeign,
        peppers: Sequence[str] = (),
        max_per_account: int = 1_000,
        observe_wait: Observe | None = None,
        observe_hash: Observe | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._cost = cost
        self._read_foreign = read_foreign
        self._timer = timer
        known = [_Pepper(pepper_id(pepper), pepper.encode()) for pepper in peppers]
        self._peppers = {pepper.id: pepper for pepper in known}
        self._newest = known[0] if known else None
        self._unknown_told: set[str] = set()
        seconds_each = _measure_cheapest() * 2 ** (cost - CHEAPEST_COST)
        self._refusals = RefusalTimes(seconds_each)
        self._big = asyncio.Lock()
        self._max_wait_seconds = max_wait_seconds
        self.queue = HashQueue(
            workers=workers,
            max_wait_seconds=max_wait_seconds,
            seconds_each=seconds_each,
            max_per_account=max_per_account,
            observe_wait=observe_wait,
            observe_hash=observe_hash,
        )
        # Verified where there is no user, so that this takes as long as where there is one.
        digest = "".join(secrets.choice(_DIGEST_ALPHABET) for _ in range(31))
        self._nobody = _scheme(self._newest) + bcrypt.gensalt(cost).decode() + digest

    @asynccontextmanager
    async def slot(self, caller: Caller, stored: str | None = None) -> AsyncIterator[None]:
        """Wait for a slot in turn, and hold it: each hash needs one. Raises Overloaded.

        ``stored`` is what a password will be compared with, if it is.
        """
        # In turn first: those who wait for memory must not pass by the bounds of the queue.
        async with self.queue.slot(caller), self._memory(stored):
            yield

    @property
    def has_free_worker(self) -> bool:
        """Tell whether a hash would begin at once."""
        return self.queue.has_free_worker

    async def hash(self, password: str) -> str:
        """Return a new hash of the password, to be stored."""
        return await self.queue.run(partial(_hash, password, self._cost, self._newest))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether the password is the stored one, as check() does."""
        return (await self.check(password, stored)).matches

    async def check(self, password: str, stored: str | None) -> Checked:
        """Tell whether the password is the stored one; None is nobody's, and no password is.

        Neither is any that of a hash that names a pepper that is not known, which is logged as an
        error. A refusal has to wait for ``rest_seconds``, or its time tells what was compared.
        """
        compared = self._nobody if stored is None else stored
        foreign = None if is_ours(compared) else self._read_foreign(compared)
        if foreign is None:
            verify = partial(_verify, password, compared, self._cost, self._peppers)
            self._tell_unknown_pepper(compared)
        else:
            verify = partial(foreign.matches, password)
        matches, seconds = await self.queue.run(partial(self._timed, verify))
        if matches and stored is not None:
            return Checked(matches=True, rest_seconds=0.0)
        forms = 1 if nfc(password) == password else 2
        self._note(compared, foreign, seconds, forms)
        return Checked(matches=False, rest_seconds=self._refusals.rest(seconds, forms=forms))

    async def measure(self, stored: str) -> None:
        """Measure a hash of another service, so that refusals last as long from now on."""
        async with self.slot(_MEASURING, stored):
            await self.check("", stored)

    def forget_kinds_but(self, kinds: Container[str]) -> None:
        """Let no refusal wait for hashes of other services, but for those of some kinds."""
        self._refusals.keep(lambda kind: kind in kinds or kind.startswith(_OURS))

    def may_renew(self, password: str, stored: str) -> bool:
        """Tell whether a stored hash that a password matches may be replaced by one of it.

        Not where the end of the password did not count: it may be a wrong one.
        """
        return is_ours(stored) or self._read_foreign(stored).reads_whole(password)

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
        self.queue.abandon(task)

    def close(self) -> None:
        """Stop the workers; hashes that wait are dropped."""
        self.queue.close()

    def _timed(self, verify: Callable[[], bool]) -> tuple[bool, float]:
        began = self._timer()
        matches = verify()
        return matches, self._timer() - began

    def _note(self, stored: str, foreign: Foreign | None, seconds: float, forms: int) -> None:
        """Note how long a refused password took."""
        if foreign is not None:
            self._refusals.note(foreign.kind, seconds / forms)
        elif _cost(_parts(stored)[1]) > self._cost:
            self._refusals.note(f"{_OURS}{_cost(_parts(stored)[1])}", seconds)
        else:
            self._refusals.note_usual(seconds)

    @asynccontextmanager
    async def _memory(self, stored: str | None) -> AsyncIterator[None]:
        """Let a hash that takes much memory wait until no other one does; raises Overloaded."""
        if stored is None or is_ours(stored) or self._read_foreign(stored).memory <= _BIG_BYTES:
            yield
            return
        try:
            async with asyncio.timeout(self._max_wait_seconds):
                await self._big.acquire()
        except TimeoutError:
            raise Overloaded(math.ceil(self._max_wait_seconds)) from None
        try:
            yield
        finally:
            self._big.release()

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
    text = nfc(password).encode("utf-8")
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
