"""Email addresses: which are accepted, and which are equivalent."""

from functools import lru_cache

import idna
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from rules.text_bounds import EXPANSION, nfc

MAX_LENGTH = 254
# RFC 5321, section 4.5.3.1.1.
MAX_LOCAL_BYTES = 64
# The key of text that is too long for an address: no user has it.
_NO_KEY = ""
_PUBLIC = ".com"


def normalize_email(text: str, *, allow_internal: bool = False) -> str:
    """Return the address in its normal form; raises ValueError with a reason.

    Checks the syntax only, with email-validator (RFC 5321, 6531), without any lookup. White space
    at both ends is removed: keyboards of phones add it. ``allow_internal`` accepts the domains
    that are reserved for internal networks and tests, such as corp.local and localhost.
    """
    address = _normal_form(text)
    local, _, domain = address.rpartition("@")
    if len(local.encode()) > MAX_LOCAL_BYTES:
        raise ValueError(f"must be an email address with at most {MAX_LOCAL_BYTES} bytes before @")
    if not allow_internal and _is_internal(domain):
        raise ValueError("must be an email address of a public domain")
    return address


def with_ascii_domain(address: str) -> str:
    """Return an address as it is sent by SMTP: a Unicode domain in its ASCII form (IDNA 2008).

    Raises ValueError if the domain has none.
    """
    local, _, domain = address.rpartition("@")
    return address if domain.isascii() else f"{local}@{idna.encode(domain).decode()}"


def email_key(address: str) -> str:
    """Return a key that is the same for addresses that differ only in case.

    This is not the full case folding of Unicode, which also merges "ß" and "ss": different
    addresses. A final sigma is the same letter as any other sigma.
    """
    lower = address.lower().replace(
        "\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"
    )
    try:
        return nfc(lower, max_length=MAX_LENGTH)
    except ValueError:  # accepted by an earlier version, in NFC
        return lower


def lookup_key(text: str) -> str:
    """Return the key to look up text that a user typed, whether or not it is an address.

    The settings do not matter: a user who was accepted once can log in.
    """
    return _lookup_key(text.strip()) if len(text) <= MAX_LENGTH * EXPANSION else _NO_KEY


@lru_cache(maxsize=4096)
def _lookup_key(text: str) -> str:
    try:
        return email_key(_normal_form(text))
    except ValueError:
        return email_key(text) if len(text) <= MAX_LENGTH else _NO_KEY


def _normal_form(text: str) -> str:
    text = nfc(text.strip(), max_length=MAX_LENGTH)
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must be an email address of at most {MAX_LENGTH} characters")
    try:
        address = _validated(text)
    except EmailNotValidError as error:
        raise ValueError("must be an email address, such as susan@example.com") from error
    if len(address) > MAX_LENGTH:
        raise ValueError(f"must be an email address of at most {MAX_LENGTH} characters")
    return address


def _validated(text: str) -> str:
    """Return the address in its normal form; raises EmailNotValidError."""
    if not _is_internal(text.rpartition("@")[2].lower()):
        return validate_email(text, check_deliverability=False).normalized
    # The library rejects reserved domains, except as the beginning of a public one.
    text += _PUBLIC
    return validate_email(text, check_deliverability=False).normalized.removesuffix(_PUBLIC)


def _is_internal(domain: str) -> bool:
    return any(domain == name or domain.endswith(f".{name}") for name in SPECIAL_USE_DOMAIN_NAMES)
