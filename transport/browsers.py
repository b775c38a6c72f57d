"""Whether a request comes from a browser."""

from tornado.httputil import HTTPHeaders

_HTML = "text/html"
_JSON = ("application/json", "application/problem+json")


def is_from_browser(headers: HTTPHeaders) -> bool:
    """Tell whether a browser sent a request, by what no page can set, or by wanting HTML.

    Sec-Fetch-Mode comes over HTTPS only. HTML counts where it is named, and preferred to JSON.
    """
    if "Sec-Fetch-Mode" in headers:
        return True
    wanted = dict(map(_weighed, headers.get("Accept", "").split(",")))
    return wanted.get(_HTML, 0.0) > max(wanted.get(name, 0.0) for name in _JSON)


def _weighed(media_range: str) -> tuple[str, float]:
    """Return a media range and its weight (RFC 9110, section 12.4.2)."""
    name, *parameters = (part.strip().lower() for part in media_range.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0
