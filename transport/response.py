"""How an answer looks on the wire, and the quick way to put it there.

Tornado's own way formats a date, fills a mapping of header fields, hashes the body for an entity
tag and encodes it all, for each answer. What differs between two answers here is a few bytes.
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
# Longer bodies are not copied: many that are sent at a time are the same one.
_LONG_BYTES = 64 * 1024


class AnsweringHandler(RequestHandler):
    """A request handler that sends its answer whole, in one write."""

    # What caches may do with the answer.
    cache_control = "no-store"

    @property
    def request_id(self) -> str:
        """Return the id of this request, which its answer carries."""
        raise NotImplementedError

    @property
    def cross_origin_fields(self) -> Fields:
        """Return what every answer to this request tells the browser."""
        raise NotImplementedError

    @property
    def closes_connection(self) -> bool:
        """Tell whether this should be the last answer on its connection."""
        raise NotImplementedError

    def compute_etag(self) -> None:
        """Return no entity tag: hardly anything here may be stored."""

    def clear(self) -> None:
        """Begin an answer, without Tornado's default header fields."""
        self._write_buffer = []
        self._status_code = HTTPStatus.OK
        self._reason = HTTPStatus.OK.phrase

    def answer(self, status: int, fields: Fields, body: bytes = b"") -> None:
        """Send the answer and end the request."""
        fields = (*fields, ("X-Request-ID", self.request_id), *self.cross_origin_fields)
        connection = self.request.connection
        if (
            type(connection) is HTTP1Connection
            and not self.closes_connection
            and not self.client_is_gone
            and _keeps_open(self.request)
        ):
            content = b"" if self.request.method == "HEAD" else body
            head = _head(status, fields, len(body), self.cache_control)
            if len(content) <= _LONG_BYTES:
                head += content
                content = b""
            written = connection.stream.write(head)
            if content:
                written = connection.stream.write(content)
            if connection.stream.writing():
                # A client that does not read its answers is asked no further: they would gather.
                connection._pending_write = written  # noqa: SLF001 - what its write() sets
            self._status_code = status
            self._end(connection)
            return
        self.set_status(status)
        self._headers = HTTPHeaders()
        for name, value in (*_common(self.cache_control), *fields):
            self.add_header(name, value)
        if self.closes_connection or not _is_keep_alive(self.request):
            # Said to HTTP/1.0 too, which an answer of HTTP/1.1 would tell the opposite.
            self.set_header("Connection", "close")
        self.set_header("Date", format_timestamp(time.time()))
        written = self.finish(body or None)
        if self.closes_connection and isinstance(connection, HTTP1Connection):
            written.add_done_callback(lambda _: connection.close())

    @property
    def client_is_gone(self) -> bool:
        """Tell whether there is nobody left to answer."""
        return cast(HTTP1Connection, self.request.connection).stream.closed()

    def _end(self, connection: HTTP1Connection) -> None:
        """Do what finish() does once the answer is written."""
        connection.finish()
        self._log()
        self._finished = True
        self.on_finish()
        self._break_cycles()


def _keeps_open(request: HTTPServerRequest) -> bool:
    """Tell whether the connection outlives the answer: then nothing has to be waited for."""
    return request.version == "HTTP/1.1" and "Connection" not in request.headers


def _is_keep_alive(request: HTTPServerRequest) -> bool:
    """Tell whether Tornado keeps the connection, or closes it after the answer."""
    wanted = request.headers.get("Connection", "").lower()
    return wanted != "close" if request.version == "HTTP/1.1" else wanted == "keep-alive"


def _head(status: int, fields: Fields, length: int, cache_control: str) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    size = "" if status in _WITHOUT_BODY else f"Content-Length: {length}\r\n"
    opening = _opening(status, int(time.time()), cache_control)
    return f"{opening}{lines}{size}\r\n".encode("latin-1")


@lru_cache(maxsize=64)
def _opening(status: int, second: int, cache_control: str) -> str:
    """Return the first lines of an answer, which are the same for a second."""
    common = "".join(f"{name}: {value}\r\n" for name, value in _common(cache_control))
    phrase = HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {phrase}\r\nDate: {format_timestamp(second)}\r\n{common}"


def _common(cache_control: str) -> Fields:
    """Return what every answer carries, besides its date, its length and the id of its request."""
    return (("Cache-Control", cache_control), ("X-Content-Type-Options", "nosniff"))
