"""The secrets in messages: a link token and a code of 8 digits.

Neither is stored. Both are derived from the kind, the id and the nonce of the message, by
HMAC-SHA-256 under a signing key, when the message is sent, and again when one of them is presented.
The database, and a backup of it, contain no secret. The nonce is random and never sent: a thief of
the signing key, who can request a message and knows its id, cannot derive its secrets. A token is
``ID.SIGNATURE``, 80 characters.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field

from rules.uuids import UUID

CODE_DIGITS = 8
_TOKEN = re.compile(rf"({UUID})\.[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True, slots=True)
class MailSecrets:
    """The token and the code of one message."""

    token: str = field(repr=False)
    code: str = field(repr=False)

    def has_token(self, given: str) -> bool:
        """Return whether a token is the one of the message, in constant time."""
        return hmac.compare_digest(self.token.encode(), given.encode())

    def has_code(self, given: str) -> bool:
        """Return whether a code is the one of the message, in constant time."""
        return hmac.compare_digest(self.code.encode(), given.encode())


def derive_secrets(key: str, kind: str, message_id: str, nonce: str) -> MailSecrets:
    """Return the secrets of a message under a signing key."""
    text = f"{message_id}.{nonce}"
    signature = base64.urlsafe_b64encode(_digest(key, "link", kind, text)).decode()
    number = int.from_bytes(_digest(key, "code", kind, text)) % 10**CODE_DIGITS
    return MailSecrets(f"{message_id}.{signature.rstrip('=')}", f"{number:0{CODE_DIGITS}}")


def link_with(token: str, *, origin: str, page: str) -> str:
    """Return the link to a page with a token.

    A server does not receive the fragment of a URL, nor does its log contain it.
    """
    return f"{origin}/auth/{page}?request={message_id_of(token)}#{token}"


def is_code(text: str) -> bool:
    """Return whether a text has the form of a code."""
    return len(text) == CODE_DIGITS and text.isascii() and text.isdigit()


def message_id_of(token: str) -> str | None:
    """Return the id of the message that a token claims to be from, or None if it is malformed."""
    match = _TOKEN.fullmatch(token)
    return None if match is None else match[1]


def _digest(key: str, secret: str, kind: str, text: str) -> bytes:
    purpose = hmac.digest(key.encode(), f"userauth.mail.{secret}.{kind}".encode(), hashlib.sha256)
    return hmac.digest(purpose, text.encode(), hashlib.sha256)
