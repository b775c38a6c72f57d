"""The path to return to after a sign-in: of this host alone, since anyone can make such a link."""

import re
from urllib.parse import unquote

MAX_LENGTH = 2_000
# Browsers read a backslash as a slash, drop tabs and line breaks, and read // as another host.
_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\x7f-\x9f\\]*")


def read_return_path(text: str | None) -> str | None:
    """Return a path of the same host, with its query, or None if it is none."""
    if text is None or len(text) > MAX_LENGTH:
        return None
    return text if _PATH.fullmatch(text) and text.isascii() else None


def find_return_path(query: str) -> str | None:
    """Return the path in a query, where ``next`` is the last parameter.

    A path that begins with a slash is taken as it is, up to the end: nginx cannot encode it. One
    that is encoded ends with its parameter, and is decoded once.
    """
    _, found, value = f"&{query}".partition("&next=")
    if not found:
        return None
    return read_return_path(value if value.startswith("/") else unquote(value.partition("&")[0]))
