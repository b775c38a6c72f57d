"""Names of people: which are accepted."""

import unicodedata

MAX_LENGTH = 200
# Control characters, lone surrogates, line and paragraph separators.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def normalize_name(text: str) -> str:
    """Return the name trimmed and in NFC; raises ValueError with a reason."""
    name = unicodedata.normalize("NFC", text.strip())
    if not 1 <= len(name) <= MAX_LENGTH:
        raise ValueError(f"must have 1 to {MAX_LENGTH} characters besides white space at its ends")
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in name):
        raise ValueError("must not contain control characters or line breaks")
    return name
