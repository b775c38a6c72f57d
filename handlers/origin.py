"""Where a request comes from."""

import ipaddress
from functools import lru_cache

from tornado.httputil import HTTPServerRequest

from auth.sessions import Origin

_LONGEST_USER_AGENT = 400


def client_address(request: HTTPServerRequest) -> str | None:
    """Return the address at the other end of the connection; None for a Unix socket."""
    return _known(request.remote_ip or "")


def origin(request: HTTPServerRequest) -> Origin:
    """Return the address and the user agent that a request comes from."""
    agent = request.headers.get("User-Agent", "")
    printable = "".join(character for character in agent if character.isprintable())
    return Origin(client_address(request), printable[:_LONGEST_USER_AGENT] or None)


@lru_cache(maxsize=10_000)
def _known(text: str) -> str | None:
    try:
        # A zone is a matter of this machine.
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None
