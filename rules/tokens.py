"""Tokens: their content and their signature.

A token is ``ID.EXPIRY.SIGNATURE``: the token's id (a UUID), its expiry in UTC seconds, and an
HMAC-SHA-256 over both, in URL-safe base64: 91 characters. It contains nothing else; its user is in
the database. (The id begins with the first byte of the user's id.) The token of a session, in a
cookie, has the same form, and is signed with another salt: neither kind is ever accepted as the
other.
"""

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from itsdangerous import Signer

from rules.errors import TokenExpired, TokenInvalid
from rules.uuids import UUID

MAX_LENGTH = 160
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_VALUE = re.compile(rf"({UUID})\.([0-9]{{1,12}})")


class TokenKind(StrEnum):
    """The use of a token: Authorization, or the cookie of a session. The values are stored."""

    TOKEN = "token"
    SESSION = "session"

    @property
    def salt(self) -> str:
        """Return the salt of its signatures."""
        return f"userauth.{self}"


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The content of a token: its id, and its expiry in UTC seconds."""

    token_id: str
    expires_at: int


class TokenSigner:
    """Issues and reads tokens of each kind.

    ``keys`` are the signing keys, newest first: the first one, whose id is ``key_id``, signs, all
    of them verify. ``clock`` returns the time in UTC seconds. ``newer_keys`` is called if a
    signature matches none of the keys, and returns the keys to use from then on, or None: another
    process may already sign with a key that this one has not read.
    """

    def __init__(
        self,
        keys: Sequence[str],
        clock: Callable[[], float],
        newer_keys: Callable[[], Sequence[str] | None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._newer_keys = newer_keys
        self.use(keys)

    def use(self, keys: Sequence[str]) -> None:
        """Replace the keys."""
        # itsdangerous expects the oldest key first, and signs with the last.
        oldest_first = tuple(reversed(keys))
        self._signers = {kind: _Signer(oldest_first, kind.salt) for kind in TokenKind}
        self.key_id = key_id(keys[0])
        self._keys = {key_id(key): key for key in keys}

    def issue(self, claims: TokenClaims, kind: TokenKind = TokenKind.TOKEN) -> str:
        """Return the signed token with the claims."""
        value = f"{claims.token_id}.{claims.expires_at}"
        return self._signers[kind].sign(value).decode("ascii")

    def read(self, token: str, kind: TokenKind = TokenKind.TOKEN) -> TokenClaims:
        """Return the claims of a token of a kind with a valid signature that has not expired.

        Raises TokenInvalid or TokenExpired. The signature is checked first: only content that this
        service signed is parsed.
        """
        if len(token) > MAX_LENGTH:
            raise TokenInvalid
        match = _VALUE.fullmatch(self._signed_value(token, kind))
        if match is None:
            raise TokenInvalid
        claims = TokenClaims(match[1], int(match[2]))
        if claims.expires_at <= self._clock():
            raise TokenExpired
        return claims

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the signing keys, newest first."""
        return tuple(self._keys.values())

    def find_key(self, wanted: str) -> str | None:
        """Return the signing key with an id, or None."""
        if wanted not in self._keys:
            keys = self._newer_keys()
            if keys is not None:
                self.use(keys)
        return self._keys.get(wanted)

    def _signed_value(self, token: str, kind: TokenKind) -> str:
        if not token.isascii():
            raise TokenInvalid
        value, _, signature = token.rpartition(".")
        if not self._signers[kind].verifies(value, signature):
            keys = self._newer_keys()
            if keys is None:
                raise TokenInvalid
            self.use(keys)
            if not self._signers[kind].verifies(value, signature):
                raise TokenInvalid
        return value


def key_id(key: str) -> str:
    """Return the public id of a signing key; it reveals nothing about a random key."""
    return hmac.digest(key.encode(), b"userauth.key-id", hashlib.sha256).hex()[:12]


class _Signer(Signer):
    """An itsdangerous Signer with SHA-256 that accepts each signature in one encoding only.

    The library defines the signature, and signs. Its verification would derive the keys, and decode
    and encode the signature, for each token; a test compares the results of both.
    """

    def __init__(self, keys: tuple[str, ...], salt: str) -> None:
        super().__init__(keys, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
        self._newest_first = [self.derive_key(key) for key in reversed(self.secret_keys)]

    def verifies(self, value: str, signature: str) -> bool:
        """Return whether one of the keys made a signature, in base64 without unused bits."""
        data, given = value.encode("ascii"), signature.encode("ascii")
        return any(hmac.compare_digest(_signature(key, data), given) for key in self._newest_first)


def _signature(key: bytes, data: bytes) -> bytes:
    encoded = b2a_base64(hmac.digest(key, data, "sha256"), newline=False)
    return encoded.translate(_TO_URL_SAFE, b"=")
