"""The head of a request as it came, before Tornado makes objects of all that is in it."""

from rules.errors import MalformedRequest, Problem, TooManyHeaderFields

MOST_FIELDS = 100
MOST_PARAMETERS = 100
# The request line, and the empty one at the end.
_OTHER_LINES = 2


def refusal_of(head: bytes) -> Problem | None:
    """Return why a head has to be refused, from nothing but the number of things in it."""
    if head.count(b"\n") > MOST_FIELDS + _OTHER_LINES:
        return TooManyHeaderFields(MOST_FIELDS)
    line_end = head.find(b"\n", 1)  # an empty line may stand ahead of it
    if head.count(b"&", 0, line_end) >= MOST_PARAMETERS:
        return MalformedRequest(f"Send a query of at most {MOST_PARAMETERS} parameters.")
    return None


def without_excess(head: bytes) -> bytes:
    """Return a head of the same method and path, with nothing to parse, that ends the connection.

    How long a body follows is not known any more: nothing may be read after this head.
    """
    line = head.lstrip(b"\r\n").partition(b"\n")[0].rstrip(b"\r")
    start, has_query, _ = line.partition(b"?")
    version = b" " + line.rpartition(b" ")[2] if has_query else b""
    return start + version + b"\r\nHost: x\r\nConnection: close\r\n\r\n"
