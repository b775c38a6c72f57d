"""Validation of the caller's arguments, before anything is sent.

A message explains what is wrong and never repeats the value, which may be a secret.
"""

import base64
import math
import re
from urllib.parse import quote

import httpx

from userauth_client.errors import InvalidArgumentError
from userauth_client.models import Token

_HEADER_TOKEN = re.compile(r"[\x21-\x7e]+")
_USER_AGENT = re.compile(r"[\x20-\x7e]{1,400}")
_LANGUAGE = re.compile(r"[A-Za-z0-9*,;=. -]{1,200}")
_ID = re.compile(r"[A-Za-z0-9_-]+")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_MAX_PORT = 65535


def base_url(text: str) -> str:
    """Return the URL of a server, without a trailing slash."""
    try:
        url = httpx.URL(text)
        host = url.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError):
        raise InvalidArgumentError("base_url is not a URL.") from None
    if url.scheme not in {"http", "https"} or not _HOST.fullmatch(host):
        raise InvalidArgumentError("base_url must begin with https:// or http:// and a host.")
    if url.port is not None and not 0 < url.port <= _MAX_PORT:
        raise InvalidArgumentError("The port in base_url must be 1 to 65535.")
    if url.userinfo:
        raise InvalidArgumentError("base_url must not contain credentials.")
    if url.query or url.fragment:
        raise InvalidArgumentError("base_url must not contain a query or a fragment.")
    return str(url).rstrip("/?#")


def seconds(value: float) -> float:
    """Return a valid timeout."""
    if not (math.isfinite(value) and value > 0):
        raise InvalidArgumentError("A timeout must be a number of seconds greater than 0.")
    return value


def user_agent(text: str) -> str:
    """Return a valid value of the User-Agent header."""
    if not _USER_AGENT.fullmatch(text):
        raise InvalidArgumentError("user_agent must be 1 to 400 printable ASCII characters.")
    return text


def language(text: str) -> str:
    """Return a valid value of the Accept-Language header."""
    if not _LANGUAGE.fullmatch(text):
        raise InvalidArgumentError("language must be a value of Accept-Language, such as de.")
    return text


def token_value(token: Token | str) -> str:
    """Return the text of a token."""
    value = token.value if isinstance(token, Token) else token
    if not isinstance(value, str):
        raise InvalidArgumentError("A token must be a Token or a string.")
    return value


def bearer(token: Token | str) -> str:
    """Return the Authorization header for a token (RFC 6750)."""
    value = token_value(token)
    if not _HEADER_TOKEN.fullmatch(value):
        raise InvalidArgumentError("A token must consist of visible ASCII characters.")
    return f"Bearer {value}"


def basic(user: str, password: str) -> str:
    """Return the Authorization header for a user name and a password (RFC 7617)."""
    if ":" in user:
        # The server would read the text after the colon as part of the password.
        raise InvalidArgumentError("An email address or a client id must not contain a colon.")
    return "Basic " + base64.b64encode(utf8(f"{user}:{password}")).decode("ascii")


def utf8(text: str) -> bytes:
    """Return a text encoded as UTF-8."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidArgumentError("A lone surrogate cannot be sent.") from None


def path_segment(identifier: str) -> str:
    """Return an id as one segment of a path; an id that would change the path is rejected."""
    if not _ID.fullmatch(identifier):
        raise InvalidArgumentError("An id must consist of letters, digits, - and _.")
    return quote(identifier, safe="")
