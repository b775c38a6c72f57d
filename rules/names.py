"""Names of users: which are accepted."""

import re

from rules.text_bounds import nfc

MAX_LENGTH = 200
# Characters that no name may contain, as a class that Python and ECMA-262 read alike: control
# characters, line and paragraph separators, and format characters, which reorder text or are
# invisible, so that a name could pass for another one. U+200C and U+200D are accepted: Persian,
# the scripts of India, and emoji need them.
REJECTED = (
    r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
    r"\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f"
    r"\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
# Also lone surrogates, which are not characters.
_REJECTED = re.compile(rf"[{REJECTED}\ud800-\udfff]")


def normalize_name(text: str) -> str:
    """Return the name trimmed and in NFC; raises ValueError with a reason."""
    name = nfc(text.strip(), max_length=MAX_LENGTH)
    if not 1 <= len(name) <= MAX_LENGTH:
        raise ValueError(f"must have 1 to {MAX_LENGTH} characters besides surrounding spaces")
    if _REJECTED.search(name):
        raise ValueError("must not contain control characters, invisible characters or line breaks")
    return name
