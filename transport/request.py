"""A request as handlers read it."""

import time
from contextlib import suppress
from functools import cached_property, lru_cache
from http.cookies import CookieError, Morsel, SimpleCookie

from tornado.httputil import (
    HTTPHeaders,
    HTTPServerRequest,
    RequestStartLine,
    split_host_and_port,
)

from transport.exchange import Exchange

# The names of this server's cookies contain this text.
_OWN_COOKIES = "userauth"


class Request(HTTPServerRequest):
    """A request whose head has already been checked.

    Most requests have no query: the constructor of Tornado would check the host once more, and
    parse and copy empty parameters.
    """

    def __init__(
        self, start_line: RequestStartLine, fields: HTTPHeaders, exchange: Exchange, body: bytes
    ) -> None:
        self._began_at = exchange.began_at
        if "?" in start_line.path:
            super().__init__(start_line=start_line, headers=fields, connection=exchange, body=body)
            return
        self.method, self.uri, self.version = start_line
        self.path, self.query = start_line.path, ""
        self.headers, self.body, self.connection = fields, body, exchange
        self.remote_ip = exchange.context.remote_ip
        self.protocol = exchange.context.protocol
        self.host = fields.get("Host", "127.0.0.1")
        self.host_name = _host_name(self.host)
        self.arguments, self.query_arguments, self.body_arguments = {}, {}, {}
        self.files = {}
        self.server_connection = None

    @cached_property
    def cookies(self) -> dict[str, Morsel[str]]:
        """Return the cookies of this server by their names; one that occurs twice is empty.

        Tornado removes Unicode white space around a name, but browsers do not: for them, a name
        that begins with U+00A0 lacks the prefix ``__Host-``, so a page of a subdomain may set it.
        Of two cookies with one name, either may have been set by another host or path.
        """
        found = SimpleCookie()
        for pair in self.headers.get("Cookie", "").split(";"):
            name, equals, value = pair.partition("=")
            name = name.strip(" \t")
            # Text without "=" is a value without a name. A head can contain thousands of other
            # cookies, which would take long to parse.
            if equals and _OWN_COOKIES in name:
                # Raised for a name that is not a token.
                with suppress(CookieError):
                    found[name] = "" if name in found else value.strip(" \t")
        return found

    def request_time(self) -> float:
        """Return the seconds since the head was received."""
        return time.monotonic() - self._began_at


@lru_cache(maxsize=1_000)
def _host_name(host: str) -> str:
    return split_host_and_port(host.lower())[0]
