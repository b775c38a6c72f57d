"""Tokens: what is signed, and how it is read.

A token is ``ID.EXPIRY.SIGNATURE``: the token's id (a UUID), its expiry in UTC seconds, and an
HMAC-SHA-256 over both, in URL-safe base64: 91 characters. It contains nothing else; its user is in
the database.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from rules.errors import TokenExpired, TokenInvalid

PURPOSE = "userauth.token"
MAX_LENGTH = 160
_VALUE = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([0-9]{1,12})")


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The content of a token: its id, and its expiry in UTC seconds."""

    token_id: str
    expires_at: int


class TokenSigner:
    """Issues and reads tokens.

    ``keys`` are the signing keys, newest first: the first one, ``key_id``, signs, all of them
    verify. ``clock`` returns the time in UTC seconds. ``newer_keys`` is called if a signature
    matches none of the keys, and returns the keys to use from then on, or None: another process
    may already sign with a key that this one has not read.
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
        self._signer = _Signer(tuple(reversed(keys)))
        self.key_id = key_id(keys[0])

    def issue(self, claims: TokenClaims) -> str:
        """Return the signed token with the claims."""
        value = f"{claims.token_id}.{claims.expires_at}"
        return self._signer.sign(value).decode("ascii")

    def read(self, token: str) -> TokenClaims:
        """Return the claims of a token with a valid signature that has not expired.

        Raises TokenInvalid or TokenExpired. The signature is checked first: only what this service
        signed is parsed.
        """
        if len(token) > MAX_LENGTH:
            raise TokenInvalid
        try:
            value = self._unsign(token).decode("ascii")
        except (BadSignature, UnicodeError) as error:
            raise TokenInvalid from error
        match = _VALUE.fullmatch(value)
        if match is None:
            raise TokenInvalid
        claims = TokenClaims(match[1], int(match[2]))
        if claims.expires_at <= self._clock():
            raise TokenExpired
        return claims

    def _unsign(self, token: str) -> bytes:
        try:
            return self._signer.unsign(token)
        except BadSignature:
            keys = self._newer_keys()
            if keys is None:
                raise
            self.use(keys)
            return self._signer.unsign(token)


def key_id(key: str) -> str:
    """Return the public id of a signing key; it reveals nothing about a random key."""
    return hmac.digest(key.encode(), b"userauth.key-id", hashlib.sha256).hex()[:12]


class _Signer(Signer):
    """An itsdangerous Signer with SHA-256 that accepts a signature in one spelling only."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__(keys, salt=PURPOSE, key_derivation="hmac", digest_method=hashlib.sha256)
        self._derived = {key: super(_Signer, self).derive_key(key) for key in self.secret_keys}

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        """Return the key derived from a signing key, computed once for each."""
        if secret_key is None:
            return self._derived[self.secret_keys[-1]]
        key = secret_key.encode() if isinstance(secret_key, str) else secret_key
        return self._derived[key]

    def verify_signature(self, value: str | bytes, sig: str | bytes) -> bool:
        """Verify a signature; reject base64 with unused bits set."""
        encoded = sig.encode() if isinstance(sig, str) else sig
        try:
            canonical = base64_encode(base64_decode(encoded)) == encoded
        except Exception:  # noqa: BLE001 - what cannot be decoded is not a signature
            return False
        return canonical and super().verify_signature(value, sig)
