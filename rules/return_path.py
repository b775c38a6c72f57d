"""The path to return to after a sign-in: on this host only, since anyone can make such a link."""

import re
from urllib.parse import unquote

MAX_LENGTH = 2_000
# The URL of a page may contain such a path with each character percent-encoded.
MAX_URL_LENGTH = 4 * MAX_LENGTH
# Browsers read a backslash before the query as a slash, drop tabs and line breaks, and read // as
# another host.
_PATH = re.compile(r"/(?![/\\])[\x21-\x3e\x40-\x5b\x5d-\x7e]*(?:\?[\x21-\x7e]*)?")
_PARAMETER = re.compile(r"(?:^|&)next=(.*)", re.DOTALL)
_APPENDED = re.compile(r"(?:^|&)next=/")
# A person who has just signed in does not want to sign out; the other two only accept a form.
_NOT_RETURNED_TO = frozenset({"/auth/sign-out", "/auth/language", "/auth/account/verification"})


def read_path(text: str | None, max_length: int = MAX_LENGTH) -> str | None:
    """Return a path of the same host, with its query, or None if it is not valid."""
    if text is None or len(text) > max_length or not _PATH.fullmatch(text):
        return None
    return text


def read_return_path(text: str | None) -> str | None:
    """Return a path of the same host to return to after a sign-in, or None if it is not valid."""
    path = read_path(text)
    return None if path is None or re.split("[?#]", path)[0] in _NOT_RETURNED_TO else path


def without_return_path(query: str) -> str:
    """Return what precedes a path in a query; nginx appends one with a query of its own."""
    return _APPENDED.split(query, maxsplit=1)[0]


def find_return_path(query: str) -> str | None:
    """Return the path in the parameter ``next`` of a query, or None.

    nginx appends a path with its query unencoded: a value that begins with a slash is not decoded,
    and ends where the query ends. Any other value is decoded once, and so is a path with an encoded
    question mark: many programs encode a parameter except for its slashes.
    """
    found = _PARAMETER.search(query)
    if found is None:
        return None
    text = found[1]
    if text.startswith("/") and ("?" in text or "%3F" not in text.upper()):
        return read_return_path(text)
    try:
        return read_return_path(unquote(text.partition("&")[0], errors="strict"))
    except ValueError:
        return None
