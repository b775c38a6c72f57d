"""Access by pages of other origins: the CORS protocol of the Fetch standard.

Pages of other origins send credentials in header fields, and must know a token themselves. The
session of a browser is in a cookie, and pages of other origins cannot read the response to a
request with it. But a browser adds the email address and the password that a user entered in its
own dialog to the requests of any page. All pages may therefore be allowed (``*``) only without
credentials that the browser adds; listed pages may have the browser add them; and a call that
changes something is rejected if it has ``Basic`` credentials and was sent by a page of another
origin, even of a sibling host, that is not allowed.
"""

import re
from collections.abc import Sequence

from tornado.httputil import HTTPHeaders, HTTPServerRequest

from rules.errors import CrossSiteRequest
from transport.response import Fields
from transport.session_cookie import has_session_cookie

ANY = "*"
# The paths of the pages for people begin with this.
PAGES = "/auth/"
# How long a browser may cache the response to a preflight request.
_MAX_AGE_SECONDS = 600
_REQUEST_FIELDS = ("Authorization", "Content-Type", "X-Request-ID", "traceparent")
# Tracing libraries add fields of their own, which the server ignores (RFC 9110, section 5.6.2).
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_MAX_ASKED_FIELDS = 50
_RESPONSE_FIELDS = "Allow, Location, Retry-After, WWW-Authenticate, X-Request-ID"
_NONE: Fields = ()
# The values of Sec-Fetch-Site for a page of the same origin, and for no page.
_SAME_ORIGIN = frozenset({"same-origin", "none"})


class CrossOrigin:
    """Header fields and checks for requests of pages; only pages of ``origins`` have access."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)

    def fields(self, request: HTTPServerRequest) -> Fields:
        """Return the fields of any response, including errors, which pages need to read as well."""
        if not self._origins:
            return _NONE
        exposed = ("Access-Control-Expose-Headers", _RESPONSE_FIELDS)
        if has_session_cookie(request) or request.path.startswith(PAGES):
            return _NONE
        if ANY in self._origins:
            return (("Access-Control-Allow-Origin", ANY), exposed)
        # On every response: a response cached for another origin must not be used.
        vary = ("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin not in self._origins:
            return (vary,)
        return (
            vary,
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Credentials", "true"),
            exposed,
        )

    def check(self, request: HTTPServerRequest) -> None:
        """Raise CrossSiteRequest if a browser may have added the credentials for a page."""
        headers = request.headers
        if (
            headers.get("Authorization", "").partition(" ")[0].lower() == "basic"
            and is_from_another_origin(headers)
            and not self._allows(request)
        ):
            raise CrossSiteRequest

    def preflight_fields(self, request: HTTPServerRequest, methods: str) -> Fields:
        """Return the additional fields of the response to a preflight request."""
        is_preflight = "Access-Control-Request-Method" in request.headers
        if not is_preflight or not self._allows(request) or has_session_cookie(request):
            return _NONE
        return (
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", _allowed_fields(request)),
            ("Access-Control-Max-Age", str(_MAX_AGE_SECONDS)),
        )

    def _allows(self, request: HTTPServerRequest) -> bool:
        return ANY in self._origins or request.headers.get("Origin") in self._origins


def _allowed_fields(request: HTTPServerRequest) -> str:
    """Return the fields that a page may send: the usual ones, and any others that it requests."""
    asked = request.headers.get("Access-Control-Request-Headers", "").split(",")
    names = (name.strip(" \t") for name in asked[:_MAX_ASKED_FIELDS])
    usual = {name.lower() for name in _REQUEST_FIELDS}
    others = [name for name in names if _FIELD_NAME.fullmatch(name) and name.lower() not in usual]
    return ", ".join((*_REQUEST_FIELDS, *others))


def is_from_another_origin(headers: HTTPHeaders, *, may_be_opaque: bool = False) -> bool:
    """Return whether a browser reports that a page of another origin sent a request.

    Over plain HTTP, and in old versions, browsers send only Origin, and only with some requests.
    For the same origin, its host and port are those of Host, unless a proxy changed Host. An opaque
    origin, ``null``, may be that of a page with a strict referrer policy.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in _SAME_ORIGIN
    origin = headers.get("Origin")
    if may_be_opaque and origin == "null":
        return False
    return (
        origin is not None and origin.partition("://")[2].lower() != headers.get("Host", "").lower()
    )
