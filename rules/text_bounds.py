"""How long text from outside may be, and how many marks it may pile up, before it is read.

To normalize text takes time quadratic in its longest run of combining marks, and whatever else is
done to text takes time linear in its length. So both are checked first, here, and no other module
normalizes text.
"""

import unicodedata
from functools import lru_cache

# A character in NFC is at most four code points in any other form of Unicode (UAX #15).
EXPANSION = 4
# The longest text that any rule accepts, a password, in characters of NFC; and in code points,
# whatever its form.
MAX_LENGTH = 1024
LONGEST = MAX_LENGTH * EXPANSION
# Stream-Safe Text (UAX #15, section 13): no language needs more marks on one letter.
MOST_MARKS = 30


def check_text(text: str) -> None:
    """Raise ValueError, with a reason, where text is longer than any rule accepts, or not safe."""
    if len(text) > LONGEST:
        raise ValueError("is too long")
    _check_marks(text)


def nfc(text: str, *, most: int = MAX_LENGTH) -> str:
    """Return text in NFC; where that has more than ``most`` characters, some text that has, too.

    Raises ValueError, with a reason, for text that is not stream-safe.
    """
    if len(text) > most * EXPANSION:
        return text
    _check_marks(text)
    return unicodedata.normalize("NFC", text)


def nfkc(text: str) -> str:
    """Return text that was accepted, no longer than any rule accepts, in NFKC."""
    # It may have been accepted before marks were counted: that many take a millisecond.
    return unicodedata.normalize("NFKC", text[:MAX_LENGTH])


def _check_marks(text: str) -> None:
    if text.isascii():
        return
    run = 0
    for character in text:
        before, after = _marks(character)
        run += before
        if run > MOST_MARKS:
            raise ValueError(f"must not have more than {MOST_MARKS} combining marks in a row")
        if after is not None:
            run = after


@lru_cache(maxsize=4096)
def _marks(character: str) -> tuple[int, int | None]:
    """Return how many marks a character begins and ends with; None where it is nothing else.

    Some that are no marks themselves are made of them, such as U+0F73.
    """
    parts = unicodedata.normalize("NFKD", character)
    letters = [at for at, part in enumerate(parts) if not unicodedata.combining(part)]
    if not letters:
        return len(parts), None
    return letters[0], len(parts) - 1 - letters[-1]
