"""Writes each response in one piece, with header fields that are mostly the same for all.

Tornado would format a date, fill a mapping of header fields, hash the body for an entity tag, and
encode all of it for each response.
"""

import time
from asyncio import Future
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import NoReturn, cast

from tornado.httputil import format_timestamp
from tornado.web import RequestHandler

from transport.exchange import Exchange

Fields = Sequence[tuple[str, str]]

_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
# RFC 9110, section 5.5: a field contains no control character except tab.
_CONTROLS = bytes({*range(0x20), 0x7F} - {ord("\t")})
# Longer bodies are written without a copy: the same one may be sent to many clients at once.
_MAX_COPIED_BYTES = 64 * 1024


def _reject_buffered_response(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError(
        "Tornado's buffered response is not used: respond with ResponseHandler.respond()."
    )


def _reject_mixed_arguments(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError(
        "This method reads the body too, which Tornado does not parse: read a query parameter with"
        " get_query_argument() or get_query_arguments(), and a form with InputHandler.body() and a"
        " UrlEncodedForm."
    )


def _reject_body_arguments(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError(
        "Tornado parses no body: read a form with InputHandler.body() and a UrlEncodedForm."
    )


class ResponseHandler(RequestHandler):
    """A request handler that sends its response whole, with respond().

    The methods of Tornado that fill a response step by step are not available.
    """

    write = flush = render = redirect = _reject_buffered_response
    set_header = add_header = clear_header = _reject_buffered_response
    set_cookie = clear_cookie = clear_all_cookies = _reject_buffered_response
    set_signed_cookie = set_secure_cookie = _reject_buffered_response
    compute_etag = set_etag_header = check_etag_header = _reject_buffered_response
    get_argument = get_arguments = _reject_mixed_arguments
    get_body_argument = get_body_arguments = _reject_body_arguments

    # The value of Cache-Control.
    cache_control = "no-store"

    def initialize(self) -> None:
        """Find the exchange of the request."""
        self.exchange = cast(Exchange, self.request.connection)

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

    def clear(self) -> None:
        """Start a response, without Tornado's mapping of fields and its buffer."""
        self.set_status(HTTPStatus.OK)

    def finish(self, chunk: object = None) -> "Future[None]":
        """Respond without a body: Tornado calls this after a method that has not responded."""
        if chunk is not None:
            _reject_buffered_response()
        self.respond(self.get_status(), ())
        sent: Future[None] = Future()
        sent.set_result(None)
        return sent

    def respond(self, status: int, fields: Fields, body: bytes = b"") -> None:
        """Send the response and finish the request: the only way to respond.

        ``fields`` are sent in their order, after those of every response. They include Content-Type
        if there is a body, and may repeat a name, such as Set-Cookie. A body that the status does
        not allow is not sent. The attribute ``cache_control`` is the value of Cache-Control.

        Raises ValueError, before anything is sent, if a field contains a control character other
        than a tab, and for a status below 200: only a final response can be sent.
        """
        if status != HTTPStatus.OK:
            self.set_status(status)
        if not self.exchange.is_disconnected:
            self._write(status, fields, body)
        # From here on, as in Tornado after it wrote a response. This marks it as finished.
        self.detach()
        self.application.log_request(self)
        self.on_finish()
        self.ui.clear()  # a cycle of references

    def _write(self, status: int, fields: Fields, body: bytes) -> None:
        exchange = self.exchange
        closes = self.closes_connection or not exchange.keeps_open or exchange.is_body_too_large
        connection = _connection_fields(self.request.version, closes=closes)
        all_fields = (
            *fields,
            ("X-Request-ID", self.request_id),
            *self.cross_origin_fields,
            *connection,
        )
        head = _head(status, all_fields, len(body), self.cache_control)
        content = b"" if self.request.method == "HEAD" or status in _WITHOUT_BODY else body
        if len(content) <= _MAX_COPIED_BYTES:
            head, content = head + content, b""
        exchange.respond(head, content, closes=closes)


def _connection_fields(version: str, *, closes: bool) -> Fields:
    """Return the fields about the connection (RFC 9112, section 9.3)."""
    if closes:
        # For HTTP/1.0 too: by default, a response of HTTP/1.1 means the opposite.
        return (("Connection", "close"),)
    return () if version == "HTTP/1.1" else (("Connection", "Keep-Alive"),)


def _head(status: int, fields: Fields, length: int, cache_control: str) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")
    # One end for each line: counting is much faster than a search in each name and value.
    if len(lines) - len(lines.translate(None, _CONTROLS)) != len(fields) * len("\r\n"):
        raise ValueError("A field of a response contains a control character.")
    size = b"" if status in _WITHOUT_BODY else b"Content-Length: %d\r\n" % length
    first_lines = _first_lines(status, int(time.time()), cache_control)
    return b"%b%b%b\r\n" % (first_lines, lines, size)


@lru_cache(maxsize=64)
def _first_lines(status: int, second: int, cache_control: str) -> bytes:
    """Return the first lines of a response, which are the same within a second."""
    if status < HTTPStatus.OK:
        raise ValueError("A response has a final status.")
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Date: {format_timestamp(second)}\r\n"
        f"Cache-Control: {cache_control}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
    ).encode("latin-1")
