"""Keyed digests: names that identify a text and reveal nothing about it without the key."""

import base64
import hashlib
import hmac

_BYTES = 18


class Digests:
    """Makes digests under one key: HMAC-SHA-256, truncated to 144 bits, in URL-safe base64."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def of(self, purpose: str, text: str) -> str:
        """Return the digest of a text; digests for different purposes are unrelated."""
        value = hmac.digest(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(value[:_BYTES]).decode()
