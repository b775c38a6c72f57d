"""Redirects of a browser to the page that signs in, if a proxy asks about its request.

Caddy and Traefik describe the request in X-Forwarded-Method, -Host and -Uri, and pass on the
response. nginx redirects by itself, since it accepts only 401 and 403.
"""

from urllib.parse import quote, urlsplit

from tornado.httputil import HTTPHeaders

from rules.return_path import MAX_LENGTH
from transport.browsers import is_from_script, prefers_html
from transport.cors import PAGES

_SIGN_IN = f"{PAGES}sign-in"
# Only these requests can be repeated after signing in without loss.
_REPEATABLE = frozenset({"GET", "HEAD"})


class SignInRedirects:
    """Decides which requests are redirected to the page that signs in, and to which URL."""

    def __init__(self, public_url: str, *, has_pages: bool = True) -> None:
        """Redirect on the host of this URL only, to which cookies are bound; if empty, on any."""
        self._host = urlsplit(public_url).netloc
        self._has_pages = has_pages

    def find_location(self, headers: HTTPHeaders) -> str | None:
        """Return the location for a request that a trusted proxy describes; None to send 401."""
        if not self._has_pages or headers.get("X-Forwarded-Method") not in _REPEATABLE:
            return None
        if is_from_script(headers) or not prefers_html(headers):
            return None
        if self._host and headers.get("X-Forwarded-Host", "").lower() != self._host:
            return None
        target = headers.get("X-Forwarded-Uri", "")
        if target.startswith(PAGES):
            # The proxy asks about the pages themselves: a redirect would lead here again.
            return None
        if not target.startswith("/") or len(target) > MAX_LENGTH:
            return _SIGN_IN
        return f"{_SIGN_IN}?next={quote(target, safe='', encoding='latin-1')}"
