"""Names of people: which are accepted."""

import re

from rules.text_bounds import nfc

MAX_LENGTH = 200
# What no name may hold, as a class of characters that Python and ECMA-262 read alike: control
# characters, line and paragraph separators, and format characters, which turn text around or cannot
# be seen, so that a name would pass for another one. Of these, U+200C and U+200D are accepted: they
# spell words of Persian and of India, and emoji.
REFUSED = (
    r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
    r"\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f"
    r"\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
# Lone surrogates, too, which are no characters.
_REFUSED = re.compile(rf"[{REFUSED}\ud800-\udfff]")


def normalize_name(text: str) -> str:
    """Return the name trimmed and in NFC; raises ValueError with a reason."""
    name = nfc(text.strip(), most=MAX_LENGTH)
    if not 1 <= len(name) <= MAX_LENGTH:
        raise ValueError(f"must have 1 to {MAX_LENGTH} characters besides white space at its ends")
    if _REFUSED.search(name):
        raise ValueError("must not contain control characters, invisible ones, or line breaks")
    return name
