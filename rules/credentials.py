"""The Authorization header, decoded into credentials."""

import base64
import binascii
import re
from dataclasses import dataclass, field

from rules.errors import CredentialsInvalid, TokenInvalid
from rules.text_bounds import check_text

# Dot-separated runs of the URL-safe alphabet; base64 has no dot, an email address has an "@".
_TOKEN = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")
# RFC 7617, section 2: neither part may hold a control character.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class PasswordCredentials:
    """An email address and a password, as the caller sent them."""

    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """A token, not yet verified."""

    token: str = field(repr=False)


Credentials = PasswordCredentials | TokenCredentials


def decode_authorization(header: str | None) -> Credentials | None:
    """Decode the value of an Authorization header field.

    Returns None without a header, and for a scheme that is not supported. Raises
    CredentialsInvalid or TokenInvalid if the value is malformed. Follows RFC 7617 (Basic, in
    UTF-8) and RFC 6750 (Bearer); a token may also replace the Basic user name, or the whole Basic
    value.
    """
    if header is None:
        return None
    scheme, _, value = header.strip(" \t").partition(" ")
    value = value.strip(" \t")
    match scheme.lower():
        case "bearer":
            return _bearer(value)
        case "basic":
            return _basic(value)
        case _:
            return None


def password_credentials(email: str, password: str) -> PasswordCredentials:
    """Return the credentials; raise CredentialsInvalid for text that no account can have."""
    _check_length_and_marks(email, password)
    if _CONTROL.search(email + password):
        raise CredentialsInvalid("Send an email address and a password without control characters.")
    return PasswordCredentials(email, password)


def _bearer(value: str) -> TokenCredentials:
    if not _TOKEN.fullmatch(value):
        raise TokenInvalid
    return TokenCredentials(value)


def _basic(value: str) -> Credentials:
    if _TOKEN.fullmatch(value):
        return TokenCredentials(value)
    try:
        content = base64.b64decode(value, validate=True)
        user = content.partition(b":")[0].decode("utf-8")
        if _TOKEN.fullmatch(user):
            # The password is ignored.
            return TokenCredentials(user)
        email, colon, password = content.decode("utf-8").partition(":")
    except (binascii.Error, ValueError) as error:
        raise CredentialsInvalid("Send Basic credentials in base64 of UTF-8.") from error
    if not colon:
        raise CredentialsInvalid("Send Basic credentials as email, colon, password.")
    return password_credentials(email, password)


def _check_length_and_marks(*texts: str) -> None:
    """Reject text that no account can have, without hashing it."""
    try:
        for text in texts:
            check_text(text)
    except ValueError as error:
        raise CredentialsInvalid from error
