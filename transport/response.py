"""How a response is written: by Tornado, or faster where the connection stays open.

For each response, Tornado formats a date, fills a mapping of header fields, hashes the body for an
entity tag, and encodes it all. Here two responses differ in a few bytes.
"""

import time
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import cast

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPServerRequest, format_timestamp
from tornado.web import RequestHandler

Fields = Sequence[tuple[str, str]]

_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
# Longer bodies are written without a copy: the same one may be sent to many clients at once.
_MAX_COPIED_BYTES = 64 * 1024


class ResponseHandler(RequestHandler):
    """A request handler that sends its response whole, in one write."""

    # What caches may do with the response.
    cache_control = "no-store"

    @property
    def request_id(self) -> str:
        """Return the id of this request, which the response carries."""
        raise NotImplementedError

    @property
    def cross_origin_fields(self) -> Fields:
        """Return the header fields of every response to this request that browsers read."""
        raise NotImplementedError

    @property
    def closes_connection(self) -> bool:
        """Return whether the server closes the connection after this response."""
        raise NotImplementedError

    @property
    def is_disconnected(self) -> bool:
        """Return whether the client has disconnected."""
        return cast(HTTP1Connection, self.request.connection).stream.closed()

    def compute_etag(self) -> None:
        """Return no entity tag: caches may store hardly any response."""

    def clear(self) -> None:
        """Start a response without Tornado's default header fields."""
        self._write_buffer = []
        self._status_code = HTTPStatus.OK
        self._reason = HTTPStatus.OK.phrase

    def respond(self, status: int, fields: Fields, body: bytes = b"") -> None:
        """Send the response and finish the request."""
        fields = (*fields, ("X-Request-ID", self.request_id), *self.cross_origin_fields)
        connection = self.request.connection
        closes = self.closes_connection or not _is_keep_alive(self.request)
        if (
            type(connection) is HTTP1Connection
            and not closes
            and self.request.version == "HTTP/1.1"
            and not self.is_disconnected
        ):
            self._write_at_once(connection, status, fields, body)
        else:
            self._write_by_tornado(status, fields, body, closes=closes)

    def _write_at_once(
        self, connection: HTTP1Connection, status: int, fields: Fields, body: bytes
    ) -> None:
        content = b"" if self.request.method == "HEAD" else body
        head = _head(status, fields, len(body), self.cache_control)
        if len(content) <= _MAX_COPIED_BYTES:
            head += content
            content = b""
        written = connection.stream.write(head)
        if content:
            written = connection.stream.write(content)
        if connection.stream.writing():
            # Read no further request of a client that does not read its responses, which would
            # accumulate.
            connection._pending_write = written  # noqa: SLF001 - what its write() sets
        self._status_code = status
        # What Tornado's finish() does once the response is written.
        connection.finish()
        self._log()
        self._finished = True
        self.on_finish()
        self._break_cycles()

    def _write_by_tornado(self, status: int, fields: Fields, body: bytes, *, closes: bool) -> None:
        self.set_status(status)
        self._headers = HTTPHeaders()
        for name, value in (*_common_fields(self.cache_control), *fields):
            self.add_header(name, value)
        self.set_header("Date", format_timestamp(time.time()))
        if closes:
            # For HTTP/1.0 too: by default, a response of HTTP/1.1 means the opposite.
            self.set_header("Connection", "close")
            connection = self.request.connection
            if isinstance(connection, HTTP1Connection):
                # Tornado sets this if the request's Connection is "close" and nothing else.
                connection._disconnect_on_finish = True  # noqa: SLF001
        self.finish(body or None)


def _is_keep_alive(request: HTTPServerRequest) -> bool:
    """Return whether the client lets the connection stay open (RFC 9112, section 9.3)."""
    options = request.headers.get("Connection", "").lower()
    if request.version != "HTTP/1.1":
        return options == "keep-alive"
    return "close" not in options or "close" not in map(str.strip, options.split(","))


def _head(status: int, fields: Fields, length: int, cache_control: str) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    size = "" if status in _WITHOUT_BODY else f"Content-Length: {length}\r\n"
    first_lines = _first_lines(status, int(time.time()), cache_control)
    return f"{first_lines}{lines}{size}\r\n".encode("latin-1")


@lru_cache(maxsize=64)
def _first_lines(status: int, second: int, cache_control: str) -> str:
    """Return the first lines of a response, which are the same for a second."""
    common = "".join(f"{name}: {value}\r\n" for name, value in _common_fields(cache_control))
    phrase = HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {phrase}\r\nDate: {format_timestamp(second)}\r\n{common}"


def _common_fields(cache_control: str) -> Fields:
    """Return the fields of every response, but for its date, length and request id."""
    return (("Cache-Control", cache_control), ("X-Content-Type-Options", "nosniff"))
