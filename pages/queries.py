"""The queries of pages."""

from urllib.parse import parse_qs, urlencode

from rules.return_path import without_return_path


def query_value(query: str, name: str) -> str:
    """Return the value of a parameter, or an empty text; an invalid query is ignored."""
    return parse_qs(without_return_path(query)).get(name, [""])[0]


def with_query(path: str, **parameters: str | None) -> str:
    """Return a path with a query of the parameters that have a value."""
    given = {name: value for name, value in parameters.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
