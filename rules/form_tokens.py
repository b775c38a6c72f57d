"""Tokens of forms: a page of another site cannot know them (OWASP: signed double-submit cookie).

A token is an HMAC-SHA-256 of a cookie under a signing key. It has no expiry of its own: it is valid
for as long as the browser has the cookie, and the key is configured.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable

_PURPOSE = b"userauth.form"


def issue_form_token(key: str, cookie: str) -> str:
    """Return the token for the forms of a browser with a cookie."""
    purpose = hmac.digest(key.encode(), _PURPOSE, hashlib.sha256)
    signature = hmac.digest(purpose, cookie.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(signature).decode().rstrip("=")


def is_form_token(given: str, keys: Iterable[str], cookies: Iterable[str]) -> bool:
    """Return whether a token matches one of some cookies under one of some keys; constant time."""
    presented, possible = given.encode(), [(key, cookie) for key in keys for cookie in cookies]
    return any(
        hmac.compare_digest(issue_form_token(key, cookie).encode(), presented)
        for key, cookie in possible
    )
