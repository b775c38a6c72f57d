"""The header fields of pages."""

from transport.response import Fields

HTML = ("Content-Type", "text/html; charset=UTF-8")
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_SECURITY: Fields = (
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
)
_HSTS = ("Strict-Transport-Security", "max-age=31536000")


def security_fields(*, is_secure: bool) -> Fields:
    """Return the fields that protect every page, and every redirect to one."""
    return (*_SECURITY, _HSTS) if is_secure else _SECURITY
