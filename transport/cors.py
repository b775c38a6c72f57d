"""Which pages of other sites may read answers: the CORS protocol of the Fetch standard.

Credentials are in header fields here, never in cookies. A page has to know a token itself. But
e-mail address and password, once a person gave them to the browser's own dialog, are added to the
requests of any page. So any page may be let in (``*``), without what the browser would add; pages
that are named may let the browser add what it has; and what changes something is refused with
``Basic`` from a page of another origin, be it a sibling host, that is not let in.
"""

from collections.abc import Sequence

from tornado.httputil import HTTPHeaders, HTTPServerRequest

from rules.errors import CrossSiteRequest
from transport.response import Fields

ANY = "*"
# How long a browser need not ask again, in seconds.
_MAX_AGE = 600
_REQUEST_FIELDS = "Authorization, Content-Type, X-Request-ID, traceparent"
_RESPONSE_FIELDS = "Allow, Location, Retry-After, WWW-Authenticate, X-Request-ID"
_NONE: Fields = ()
# What Sec-Fetch-Site says of a page of this very origin, and of no page at all.
_OWN = frozenset({"same-origin", "none"})


class CrossOrigin:
    """Tells what answers say to pages of these origins; of none, where there are none."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)

    def fields(self, request: HTTPServerRequest) -> Fields:
        """Return the fields of any answer, refusals too: a page wants to read those as well."""
        if not self._origins:
            return _NONE
        exposed = ("Access-Control-Expose-Headers", _RESPONSE_FIELDS)
        if ANY in self._origins:
            return (("Access-Control-Allow-Origin", ANY), exposed)
        # Whatever the answer is: one that was made for another origin would not do.
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
        """Raise CrossSiteRequest where a browser may have added the credentials for a page."""
        headers = request.headers
        if (
            headers.get("Authorization", "").partition(" ")[0].lower() == "basic"
            and _is_from_another_origin(headers)
            and not self._lets_in(request)
        ):
            raise CrossSiteRequest

    def preflight_fields(self, request: HTTPServerRequest, methods: str) -> Fields:
        """Return what an answer to OPTIONS says besides, where a browser asks for a page."""
        if not self._lets_in(request) or "Access-Control-Request-Method" not in request.headers:
            return _NONE
        return (
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", _REQUEST_FIELDS),
            ("Access-Control-Max-Age", str(_MAX_AGE)),
        )

    def _lets_in(self, request: HTTPServerRequest) -> bool:
        return ANY in self._origins or request.headers.get("Origin") in self._origins


def _is_from_another_origin(headers: HTTPHeaders) -> bool:
    """Tell whether a browser says that a page of another origin sends a request.

    Over plain HTTP, and if it is an old one, it says no more than the origin of some pages. What
    follows its scheme is what the same browser sends as Host, unless a proxy changed that.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in _OWN
    origin = headers.get("Origin")
    return (
        origin is not None and origin.partition("://")[2].lower() != headers.get("Host", "").lower()
    )
