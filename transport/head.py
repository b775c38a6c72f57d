"""Checks of a request's head before Tornado parses it into objects."""

from rules.errors import MalformedRequest, Problem, TooManyHeaderFields

MAX_FIELDS = 100
MAX_PARAMETERS = 100
# The request line, and the empty line at the end.
_OTHER_LINES = 2


def find_problem(head: bytes) -> Problem | None:
    """Return why a head is refused, judged by nothing but the number of its parts."""
    if head.count(b"\n") > MAX_FIELDS + _OTHER_LINES:
        return TooManyHeaderFields(MAX_FIELDS)
    line_end = head.find(b"\n", 1)  # an empty line may precede the request line
    if head.count(b"&", 0, line_end) >= MAX_PARAMETERS:
        return MalformedRequest(f"Send at most {MAX_PARAMETERS} query parameters.")
    return None


def without_excess(head: bytes) -> bytes:
    """Return a head of the same method and path, with nothing to parse, that ends the connection.

    The length of the body is lost: nothing may be read after this head.
    """
    line = head.lstrip(b"\r\n").partition(b"\n")[0].rstrip(b"\r")
    start, has_query, _ = line.partition(b"?")
    version = b" " + line.rpartition(b" ")[2] if has_query else b""
    return start + version + b"\r\nHost: x\r\nConnection: close\r\n\r\n"
