"""The language that a request prefers (RFC 9110, section 12.5.4)."""

from collections.abc import Iterable

from tornado.httputil import HTTPHeaders

from transport.weights import parse_weight


def find_language(headers: HTTPHeaders, known: Iterable[str]) -> str | None:
    """Return the known language that Accept-Language prefers, or None if it names none.

    ``de-CH`` names ``de``. If weights are equal, the first language is preferred.
    """
    named: dict[str, float] = {}
    for tag, weight in map(parse_weight, headers.get("Accept-Language", "").split(",")):
        language = tag.partition("-")[0]
        named[language] = max(weight, named.get(language, 0.0))
    known_ones = frozenset(known)
    weights = {each: weight for each, weight in named.items() if each in known_ones and weight > 0}
    return max(weights, key=weights.__getitem__, default=None)
