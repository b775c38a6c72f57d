"""Email addresses: which are accepted, and which are the same."""

from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from rules.text_bounds import EXPANSION, nfc

MAX_LENGTH = 254
# The key of text that is too long for an address: no user has it.
_NO_KEY = ""


def normalize_email(text: str) -> str:
    """Return the address in its normal form; raises ValueError with a reason.

    Checks the syntax only, by email-validator (RFC 5321, 6531), without any lookup.
    """
    text = nfc(text, max_length=MAX_LENGTH)
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must be an email address of at most {MAX_LENGTH} characters")
    try:
        address = validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise ValueError("must be an email address, such as susan@example.com") from error
    if len(address) > MAX_LENGTH:
        raise ValueError(f"must be an email address of at most {MAX_LENGTH} characters")
    return address


def email_key(address: str) -> str:
    """Return the key that addresses share which differ in case only.

    Not the full case folding of Unicode, which also merges "ß" and "ss": different addresses. The
    final sigma depends on the position in a word, and is the same letter.
    """
    lower = address.lower().replace(
        "\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"
    )
    try:
        return nfc(lower, max_length=MAX_LENGTH)
    except ValueError:  # accepted by an earlier version, in NFC
        return lower


def lookup_key(text: str) -> str:
    """Return the key to look up what a user typed, whether or not it is an address."""
    return _lookup_key(text) if len(text) <= MAX_LENGTH * EXPANSION else _NO_KEY


@lru_cache(maxsize=4096)
def _lookup_key(text: str) -> str:
    try:
        return email_key(normalize_email(text))
    except ValueError:
        return email_key(text) if len(text) <= MAX_LENGTH else _NO_KEY
