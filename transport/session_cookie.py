"""The names of the cookie that contains the session of a browser."""

from tornado.httputil import HTTPServerRequest

# Browsers accept the prefix over HTTPS only, and then from this host alone.
SECURE_SESSION_COOKIE = "__Host-userauth"
_PLAIN = "userauth"
_NAMES = frozenset({SECURE_SESSION_COOKIE, _PLAIN})


def session_cookie_name(*, is_secure: bool) -> str:
    """Return the name of the cookie over HTTPS, or over plain HTTP in development."""
    return SECURE_SESSION_COOKIE if is_secure else _PLAIN


def has_session_cookie(request: HTTPServerRequest) -> bool:
    """Return whether a request contains a session, valid or not, by any of the names."""
    return "Cookie" in request.headers and not _NAMES.isdisjoint(request.cookies)
