"""Bounds on the length and the combining marks of untrusted text, checked before it is processed.

Normalizing text takes time quadratic in its longest run of combining marks, and any other work
takes time linear in its length. So both are checked first, here, and no other module normalizes
text.
"""

import unicodedata
from functools import lru_cache

# A character in NFC has at most four code points in any other form of Unicode (UAX #15).
EXPANSION = 4
# The maximum length of text that any rule accepts, which is that of a password: in characters of
# NFC, and in code points of any form.
MAX_LENGTH = 1024
MAX_CODE_POINTS = MAX_LENGTH * EXPANSION
# Stream-Safe Text (UAX #15, section 13): no language needs more marks on one letter.
MAX_MARKS = 30


def check_text(text: str) -> None:
    """Raise ValueError, with a reason, for text that is too long for any rule, or unsafe."""
    if len(text) > MAX_CODE_POINTS:
        raise ValueError("is too long")
    _check_marks(text)


def nfc(text: str, *, max_length: int = MAX_LENGTH) -> str:
    """Return text in NFC; text that is longer than ``max_length`` in NFC stays longer.

    Raises ValueError, with a reason, for text that is not stream-safe.
    """
    if len(text) > max_length * EXPANSION:
        return text
    _check_marks(text)
    return unicodedata.normalize("NFC", text)


def nfkc(text: str) -> str:
    """Return accepted text, no longer than any rule accepts, in NFKC."""
    # An earlier version, which did not count marks, may have accepted it; this takes a millisecond.
    return unicodedata.normalize("NFKC", text[:MAX_LENGTH])


def _check_marks(text: str) -> None:
    if text.isascii():
        return
    run = 0
    for character in text:
        before, after = _marks(character)
        run += before
        if run > MAX_MARKS:
            raise ValueError(f"must not have more than {MAX_MARKS} consecutive combining marks")
        if after is not None:
            run = after


@lru_cache(maxsize=4096)
def _marks(character: str) -> tuple[int, int | None]:
    """Return how many marks a character begins and ends with; None if it consists of marks only.

    Some characters that are not marks themselves, such as U+0F73, decompose into marks.
    """
    parts = unicodedata.normalize("NFKD", character)
    letters = [at for at, part in enumerate(parts) if not unicodedata.combining(part)]
    if not letters:
        return len(parts), None
    return letters[0], len(parts) - 1 - letters[-1]
