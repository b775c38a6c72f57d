"""The rules for names of users."""

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
# Accepted, but a name of these alone could not be seen: Hangul fillers, the blank Braille pattern,
# the inherent vowels of Khmer, and variation selectors.
INVISIBLE = (
    r"\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef"
)
# Between two characters only.
JOINERS = r"\u200c\u200d"
# White space, as Python defines it.
SPACE = r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_VISIBLE = re.compile(f"[^{INVISIBLE}{JOINERS}{SPACE}]")
_MISPLACED_JOINER = re.compile(rf"(?:\A|[{JOINERS}{SPACE}])[{JOINERS}]|[{JOINERS}](?:\Z|[{SPACE}])")
# Also lone surrogates, which are not characters.
_REJECTED = re.compile(rf"[{REJECTED}\ud800-\udfff]")


def normalize_name(text: str) -> str:
    """Return the name trimmed and in NFC; raises ValueError with a reason."""
    name = nfc(text.strip(), max_length=MAX_LENGTH)
    if not 1 <= len(name) <= MAX_LENGTH:
        raise ValueError(f"must have 1 to {MAX_LENGTH} characters besides surrounding spaces")
    if _REJECTED.search(name):
        raise ValueError("must not contain control characters, invisible characters or line breaks")
    if not _VISIBLE.search(name):
        raise ValueError("must have a visible character")
    if _MISPLACED_JOINER.search(name):
        raise ValueError("must have joiners (U+200C, U+200D) only between two characters")
    return name
