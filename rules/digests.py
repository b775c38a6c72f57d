"""Keyed digests: names that find something again, and reveal nothing without the key."""

import base64
import hashlib
import hmac

_BYTES = 18


class Digests:
    """Makes digests under one key: HMAC-SHA-256, cut to 144 bits, in URL-safe base64."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def of(self, purpose: str, text: str) -> str:
        """Return the digest of a text; those for another purpose have nothing in common."""
        value = hmac.digest(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(value[:_BYTES]).decode()
