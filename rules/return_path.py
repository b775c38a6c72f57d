"""The path to return to after a sign-in: of this host alone, since anyone can make such a link."""

import re

MAX_LENGTH = 2_000
# Browsers read a backslash as a slash, drop tabs and line breaks, and read // as another host.
_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\x7f-\x9f\\]*")


def read_return_path(text: str | None) -> str | None:
    """Return a path of the same host, with its query, or None if it is none."""
    if text is None or len(text) > MAX_LENGTH:
        return None
    return text if _PATH.fullmatch(text) and text.isascii() else None
