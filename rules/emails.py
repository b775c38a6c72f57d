"""E-mail addresses: which are accepted, and when two are the same."""

from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from rules.text_bounds import EXPANSION, nfc

MAX_LENGTH = 254
_NOBODY = ""


def normalize_email(text: str) -> str:
    """Return the address in its normal form; raises ValueError with a reason.

    Syntax only, by email-validator (RFC 5321, 6531); nothing is looked up.
    """
    text = nfc(text, most=MAX_LENGTH)
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must be an e-mail address of at most {MAX_LENGTH} characters")
    try:
        address = validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise ValueError("must be an e-mail address, such as susan@example.com") from error
    if len(address) > MAX_LENGTH:
        raise ValueError(f"must be an e-mail address of at most {MAX_LENGTH} characters")
    return address


def email_key(address: str) -> str:
    """Return what addresses that differ in case only have in common.

    Not the full case folding of Unicode: that also makes one of "ß" and "ss", which
    are letters of different addresses. The final sigma is a matter of place, not of letter.
    """
    lower = address.lower().replace(
        "\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"
    )
    try:
        return nfc(lower, most=MAX_LENGTH)
    except ValueError:  # an address from before such were refused; it is in NFC
        return lower


def lookup_key(text: str) -> str:
    """Return the key to look up what a client typed, whether or not it is an address."""
    return _lookup_key(text) if len(text) <= MAX_LENGTH * EXPANSION else _NOBODY


@lru_cache(maxsize=4096)
def _lookup_key(text: str) -> str:
    try:
        return email_key(normalize_email(text))
    except ValueError:
        return email_key(text) if len(text) <= MAX_LENGTH else _NOBODY
