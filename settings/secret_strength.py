"""How hard a key is to guess, estimated from its text.

The estimate recognizes keys that a person typed or copied from an example: repetition, sequences,
few different characters, words of placeholders. It cannot distinguish a random key from one that
only looks random.
"""

import math
import re

# Half of the estimate for 128 random bits, so that no random key of that size fails by chance.
_MIN_BITS = 64
# Only one in billions of keys of forty random digits has fewer.
_MIN_DISTINCT = 6
# In these, each character follows from the ones before it.
_ROWS = "abcdefghijklmnopqrstuvwxyz 01234567890 qwertyuiop asdfghjkl zxcvbnm qwertzuiop yxcvbnm"
_SEQUENCES = {
    row[start : start + 3]
    for order in (1, -1)
    for row in _ROWS[::order].split()
    for start in range(len(row) - 2)
}
# The words of placeholders in documentation and code.
_WORDS = re.findall(
    r"\w+",
    """
    admin app auth backend bit bits change changed changeit changeme characters chars code company
    default demo dev development django example flask foobar for from goes hash here insecure insert
    is it its jwt key keys least long me min minimum must my not now of our pass password pepper
    phrase please postgres prod production random replace salt sample secret secrets secure server
    service sha256 shared sign signing some string super test testing text that the this todo token
    tokens user userauth value very web with you your
    """,
)
_PLACEHOLDERS = re.compile(
    "|".join(["p[a@4][s$5][s$5]w[o0]rd", *sorted(_WORDS, key=len, reverse=True)])
)


def is_guessable(secret: str) -> bool:
    """Return whether a key can be guessed because its text is not random."""
    return len(set(secret)) < _MIN_DISTINCT or _estimated_bits(secret) < _MIN_BITS


def _estimated_bits(secret: str) -> float:
    """Return the bits of the characters that cannot be predicted from those before them."""
    text = _PLACEHOLDERS.sub("", secret.lower())
    seen: set[str] = set()
    unpredicted = min(len(text), 2)
    for start in range(len(text) - 2):
        three = text[start : start + 3]
        unpredicted += not (three in seen or three in _SEQUENCES or _is_steady(three))
        seen.add(three)
    return unpredicted * math.log2(max(1, len(set(text))))


def _is_steady(three: str) -> bool:
    """Return whether three characters are the same distance apart, such as aaa, 246 or fed."""
    first, second, third = map(ord, three)
    return third - second == second - first
