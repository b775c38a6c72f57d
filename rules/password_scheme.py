"""The scheme of this server's password hashes.

A stored hash is ``$userauth-bcrypt-sha384`` followed by a bcrypt string. bcrypt reads 72 bytes and
stops at NUL, so the password (NFC, UTF-8) is condensed first: HMAC-SHA-384 keyed with the hash's
own salt, in base64, 64 bytes. The salt as key keeps a stolen hash from being tried against lists
of unkeyed SHA-384. The signing keys are not involved: their rotation invalidates no password. The
prefix allows for other schemes.

A pepper is a secret outside the database, without which stolen hashes cannot be attacked. With one,
the condensed password goes through HMAC-SHA-384 under the pepper, in base64 again, and the stored
hash is ``$userauth-bcrypt-sha384+PEPPER_ID`` followed by the bcrypt string. If the pepper is lost,
so are the passwords. To rotate it, put the new one first and keep the old ones until no hash names
them: a hash is renewed when its user next logs in. Hashes without a pepper stay valid, and are
renewed in the same way. If several servers share the database, first give all of them the new
pepper, after the old one.
"""

import base64
import hashlib
import hmac
import re
import secrets
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import bcrypt

from rules.text_bounds import nfc

MIN_COST = 4
SCHEME = "$userauth-bcrypt-sha384"
_STORED = re.compile(re.escape(SCHEME) + r"(?:\+([0-9a-f]{12}))?(\$.+)")
_WELL_FORMED = re.compile(
    re.escape(SCHEME) + r"(?:\+[0-9a-f]{12})?\$2b\$(?:0[4-9]|1[0-8])\$[./A-Za-z0-9]{53}"
)
_SALT = slice(7, 29)  # of "$2b$12$", 22 characters of salt, 31 of digest
_DIGEST_ALPHABET = "./" + string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class _Pepper:
    id: str
    key: bytes = field(repr=False)


class PasswordScheme:
    """Computes and verifies hashes, on the calling thread.

    ``cost`` is bcrypt's: 2^cost rounds. ``peppers`` are newest first: new hashes use the first one,
    if any; existing ones may use any of them, or none.
    """

    def __init__(self, *, cost: int, peppers: Sequence[str] = ()) -> None:
        self.cost = cost
        known = [_Pepper(pepper_id(pepper), pepper.encode()) for pepper in peppers]
        self._peppers = {pepper.id: pepper for pepper in known}
        self._newest = known[0] if known else None
        # Verified for unknown users, so that this takes as long as for existing ones.
        self.decoy = self.unusable()

    def hash(self, password: str) -> str:
        """Return a new hash of the password, to be stored."""
        salt = bcrypt.gensalt(self.cost)
        condensed = _condense(password, salt, self._newest)
        return self._prefix() + bcrypt.hashpw(condensed, salt).decode("ascii")

    def unusable(self) -> str:
        """Return a random hash for a user without a password, which no known text matches."""
        digest = "".join(secrets.choice(_DIGEST_ALPHABET) for _ in range(31))
        return self._prefix() + bcrypt.gensalt(self.cost).decode() + digest

    def verify(self, password: str, stored: str) -> bool:
        """Return whether the password matches; always False for a hash with an unknown pepper."""
        named, bcrypt_string = _parts(stored)
        # With an unknown pepper the hash is computed only for the time that it takes.
        pepper = None if named is None else self._peppers.get(named, _Pepper(named, b""))
        expected = bcrypt_string.encode("ascii")
        is_equal = bcrypt.checkpw(_condense(password, expected, pepper), expected)
        matches = is_equal and (named is None or named in self._peppers)
        if not matches:
            # A hash of a lower cost must not reveal, by a faster rejection, that the user exists:
            # 2^c + 2^c + 2^(c+1) + … + 2^(n-1) rounds are 2^n.
            for cost in range(_cost(bcrypt_string), self.cost):
                bcrypt.hashpw(b"", bcrypt.gensalt(cost))
        return matches

    def needs_rehash(self, stored: str) -> bool:
        """Return whether a stored hash differs from new ones in scheme, cost or pepper."""
        if not is_own(stored):
            return True
        named, bcrypt_string = _parts(stored)
        newest = self._newest.id if self._newest else None
        return named != newest or _cost(bcrypt_string) != self.cost

    def check(self, stored: str) -> None:
        """Raise ValueError, with a reason that quotes nothing, if no password can match."""
        if _WELL_FORMED.fullmatch(stored) is None:
            raise ValueError("This is not a well-formed hash of this server.")
        missing = self.missing_pepper(stored)
        if missing is not None:
            raise ValueError(
                f"It needs the pepper {missing}, which passwords.pepper does not contain."
            )

    def missing_pepper(self, stored: str) -> str | None:
        """Return the id of the pepper that a hash needs and the server does not have, or None."""
        named, _ = _parts(stored)
        return None if named in self._peppers else named

    def estimate_seconds(self) -> float:
        """Return roughly how long a hash takes, estimated from a cheap one."""
        return _measure_cheapest() * float(2 ** (self.cost - MIN_COST))

    def _prefix(self) -> str:
        return SCHEME if self._newest is None else f"{SCHEME}+{self._newest.id}"


def is_own(stored: str) -> bool:
    """Return whether a stored hash has this server's scheme."""
    return stored.startswith(SCHEME)


def cost_of(stored: str) -> int:
    """Return the bcrypt cost of a stored hash with this server's scheme."""
    return _cost(_parts(stored)[1])


def pepper_id(pepper: str) -> str:
    """Return the id of a pepper in hashes; it reveals nothing about a random pepper."""
    return hmac.digest(pepper.encode(), b"userauth.pepper-id", hashlib.sha256).hex()[:12]


def _measure_cheapest() -> float:
    began = time.perf_counter()
    bcrypt.hashpw(b"", bcrypt.gensalt(MIN_COST))
    return time.perf_counter() - began


def _cost(bcrypt_string: str) -> int:
    return int(bcrypt_string.split("$")[2])


def _condense(password: str, bcrypt_string: bytes, pepper: _Pepper | None) -> bytes:
    text = nfc(password).encode("utf-8")
    condensed = base64.b64encode(hmac.digest(bcrypt_string[_SALT], text, hashlib.sha384))
    if pepper is None:
        return condensed
    return base64.b64encode(hmac.digest(pepper.key, condensed, hashlib.sha384))


def _parts(stored: str) -> tuple[str | None, str]:
    """Return the id of the pepper that a stored hash names, if any, and its bcrypt string."""
    parts = _STORED.fullmatch(stored)
    if parts is None:
        raise ValueError("The stored password hash is of an unknown scheme.")
    return parts[1], parts[2]
