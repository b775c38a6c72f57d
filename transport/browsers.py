"""Recognize requests that browsers send."""

from tornado.httputil import HTTPHeaders

from transport.weights import parse_weight

_HTML = "text/html"
_NAVIGATION = "navigate"
_JSON = ("application/json", "application/problem+json")


def is_from_browser(headers: HTTPHeaders) -> bool:
    """Return whether a browser sent a request: by a field that no page can set, or by Accept.

    Browsers send Sec-Fetch-Mode over HTTPS only.
    """
    return "Sec-Fetch-Mode" in headers or prefers_html(headers)


def prefers_html(headers: HTTPHeaders) -> bool:
    """Return whether Accept names HTML and prefers it to JSON: the response is for a person."""
    weights = dict(map(parse_weight, headers.get("Accept", "").split(",")))
    return weights.get(_HTML, 0.0) > max(weights.get(name, 0.0) for name in _JSON)


def is_from_script(headers: HTTPHeaders) -> bool:
    """Return whether a page sent a request, by a script or for a part of it: not a navigation."""
    return headers.get("Sec-Fetch-Mode", _NAVIGATION) != _NAVIGATION
