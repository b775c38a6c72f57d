"""Tokens: what is signed, and how it is read back.

A token is ``ID.EXPIRY.SIGNATURE``: the token's id (a UUID), its expiry in
UTC seconds, and an HMAC-SHA-256 over both, in URL-safe base64: 91 characters. It
holds nothing else; whose it is stands in the database.
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
    """What a token says: its id, and when it expires in UTC seconds."""

    token_id: str
    expires_at: int


class TokenSigner:
    """Issues and reads tokens.

    ``keys`` are the signing keys, newest first: the first one, ``key_id``, signs, all of them
    verify.
    ``clock`` returns the time in UTC seconds. ``newer_keys`` is asked where a signature is of none
    of the keys, and returns others where there are any: another process may have begun to
    sign with a key that this one was not told of yet.
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
        """Sign and verify with other keys from now on."""
        # itsdangerous wants the oldest key first and signs with the last.
        self._signer = _Signer(tuple(reversed(keys)))
        self.key_id = key_id(keys[0])

    def issue(self, claims: TokenClaims) -> str:
        """Return the signed token that holds the claims."""
        value = f"{claims.token_id}.{claims.expires_at}"
        return self._signer.sign(value).decode("ascii")

    def read(self, token: str) -> TokenClaims:
        """Return the claims of a token whose signature is good and whose expiry is to come.

        Raises TokenInvalid or TokenExpired. The signature is checked first: nothing that
        an unknown hand wrote is parsed.
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
    """Return the name by which a signing key is spoken of; it reveals nothing of a random key."""
    return hmac.digest(key.encode(), b"userauth.key-id", hashlib.sha256).hex()[:12]


class _Signer(Signer):
    """An itsdangerous Signer with SHA-256 that takes a signature in one spelling only."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__(keys, salt=PURPOSE, key_derivation="hmac", digest_method=hashlib.sha256)
        self._derived = {key: super(_Signer, self).derive_key(key) for key in self.secret_keys}

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        """Return the key derived from one of the signing keys, computed once for each."""
        if secret_key is None:
            return self._derived[self.secret_keys[-1]]
        key = secret_key.encode() if isinstance(secret_key, str) else secret_key
        return self._derived[key]

    def verify_signature(self, value: str | bytes, sig: str | bytes) -> bool:
        """Verify a signature, refusing base64 whose spare bits were changed."""
        encoded = sig.encode() if isinstance(sig, str) else sig
        try:
            canonical = base64_encode(base64_decode(encoded)) == encoded
        except Exception:  # noqa: BLE001 - whatever cannot be decoded is no signature
            return False
        return canonical and super().verify_signature(value, sig)
