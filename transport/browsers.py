"""Recognize requests that browsers send."""

from tornado.httputil import HTTPHeaders

_HTML = "text/html"
_NAVIGATION = "navigate"
_JSON = ("application/json", "application/problem+json")


def is_from_browser(headers: HTTPHeaders) -> bool:
    """Return whether a browser sent a request: by a field that no page can set, or by Accept.

    Browsers send Sec-Fetch-Mode over HTTPS only. HTML counts where Accept names it and prefers it
    to JSON.
    """
    if "Sec-Fetch-Mode" in headers:
        return True
    weights = dict(map(_parse_media_range, headers.get("Accept", "").split(",")))
    return weights.get(_HTML, 0.0) > max(weights.get(name, 0.0) for name in _JSON)


def is_from_script(headers: HTTPHeaders) -> bool:
    """Return whether a page sent a request, by a script or for a part of it: not a navigation."""
    return headers.get("Sec-Fetch-Mode", _NAVIGATION) != _NAVIGATION


def _parse_media_range(text: str) -> tuple[str, float]:
    """Return a media range and its weight (RFC 9110, section 12.4.2)."""
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0
