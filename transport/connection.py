"""A client's connection: requests are parsed, and processed and answered one at a time."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, RequestStartLine

from ops.logs import SERVER
from rules.errors import HeaderTooLarge, MalformedRequest, Problem, RequestTimeout
from transport import head
from transport.application import ServedApplication
from transport.base_connection import BaseConnection, Connections, Timeouts
from transport.body import Body, ChunkedBody, FixedBody
from transport.exchange import Exchange
from transport.head_search import HeadSearch

# Stop reading when more than this many bytes of further requests are buffered while a response is
# pending.
_READ_AHEAD_BYTES = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# For input that is not HTTP: there is no request to log, and no client that could read a document.
_NOT_HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
# For a request that the application failed to accept: no handler can respond.
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connection(BaseConnection):
    """A connection that parses requests; the next one is parsed after the response."""

    def __init__(
        self, application: ServedApplication, connections: Connections, *, protocol: str
    ) -> None:
        super().__init__(connections)
        self.protocol = protocol
        self._application = application
        self._heads = HeadSearch()
        self._exchange: Exchange | None = None
        self._delegate: HTTPMessageDelegate | None = None
        self._body: Body | None = None
        self._start_line: RequestStartLine | None = None
        self._fields = HTTPHeaders()
        # Whether the response to the last request was sent.
        self._has_responded = False

    @property
    def has_received_more(self) -> bool:
        """Return whether bytes have arrived after the current request."""
        return bool(self._received)

    def data_received(self, data: "bytes | memoryview[int]") -> None:
        """Parse the received bytes, or keep them until the response is sent."""
        if self._droppable is not None:
            self._drop(len(data))
            return
        self._received += data
        if self._exchange is None or self._body is not None:
            self._advance()
        else:
            self._regulate_reading()

    def eof_received(self) -> None:
        """Return None to close: a client that closes its sending side counts as disconnected."""

    def connection_lost(self, error: Exception | None) -> None:
        """Report the disconnect to the request that is being read or runs."""
        super().connection_lost(error)
        exchange, delegate = self._exchange, self._delegate
        self._exchange = self._delegate = None
        if exchange is not None and exchange.on_disconnect is not None:
            exchange.on_disconnect()
        elif delegate is not None:
            delegate.on_connection_close()

    def resume_writing(self) -> None:
        """Continue with the next request."""
        super().resume_writing()
        self._advance()

    def end_exchange(
        self, exchange: Exchange, head: bytes, content: bytes, *, closes: bool
    ) -> None:
        """Send a response, and then await the next request or close."""
        if self.is_lost or exchange is not self._exchange:
            return
        self._write(head)
        if content:
            self._write(content)
        self._exchange = self._delegate = None
        self._has_responded = True
        if closes or self._droppable is not None:
            self._linger_after_response()
            return
        self._is_first_head = False
        self._awaits_head = True
        self._since = time.monotonic()
        if self._received:
            # Not at once: a failure of the next request would be one of this handler.
            asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        """Parse the received bytes until a request runs or more are needed."""
        self._guarded(self._parse)
        if self._is_paused or len(self._received) > _READ_AHEAD_BYTES:
            self._regulate_reading()

    def _may_read(self) -> bool:
        return len(self._received) <= _READ_AHEAD_BYTES and super()._may_read()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do work that begins a request; respond with 500 and close if it fails."""
        try:
            work()
        except Exception:
            logging.getLogger(SERVER).exception("a request could not be run")
            self._fail()

    def _parse(self) -> None:
        may_continue = True
        while may_continue and self._is_writable and self._droppable is None:
            if self._body is not None:
                may_continue = self._read_body(self._body)
            elif self._exchange is None:
                may_continue = not self.transport.is_closing() and self._read_head()
            else:
                return

    def _read_head(self) -> bool:
        """Read a head if it is complete; return whether there may be more to read."""
        try:
            data = self._heads.take(self._received)
        except HeaderTooLarge as problem:
            self._reject(problem, head.find_start_line(bytes(self._received)))
            return False
        if data is None:
            return False
        self._has_responded = False
        try:
            parsed = head.parse_head(data)
        except Problem as problem:
            self._reject(problem, head.find_start_line(data))
            return False
        if parsed is None:
            self._reject(MalformedRequest(), None)
            return False
        self._begin(parsed)
        return True

    def _begin(self, parsed: head.Head) -> None:
        """Begin a request, or read its body first."""
        self._awaits_head = False
        self._start_line = parsed.start_line
        self._fields = parsed.fields
        exchange = self._exchange = Exchange(self, keeps_open=parsed.keeps_open)
        delegate = self._delegate = self._application.start_request(self, exchange)
        delegate.headers_received(parsed.start_line, parsed.fields)
        if parsed.length == 0:
            delegate.finish()
            return
        if self._application.ignores_body(parsed.start_line):
            self._drop_body(parsed.length)
            delegate.finish()
            return
        self._since = time.monotonic()
        self._body = ChunkedBody() if parsed.length is None else FixedBody(parsed.length)
        if not self._reject_large(self._body) and parsed.expects_continue:
            self._write(_CONTINUE)

    def _drop_body(self, length: int | None) -> None:
        """Drop an unread body; if it is not complete yet, nothing after it is parsed."""
        if length is not None and length <= len(self._received):
            del self._received[:length]
        else:
            self._drop_the_rest()
            if self._exchange is not None:
                self._exchange.keeps_open = False

    def _read_body(self, body: Body) -> bool:
        """Read a part of a body; return whether there may be more to read."""
        if self._delegate is None:
            return False
        try:
            content = body.take(self._received)
        except MalformedRequest as problem:
            self._delegate.on_connection_close()
            self._reject(problem, self._start_line, self._fields)
            return False
        if self._reject_large(body):
            return False
        if content:
            self._delegate.data_received(content)
        if body.is_complete:
            self._body = None
            self._delegate.finish()
        return body.is_complete

    def _reject_large(self, body: Body) -> bool:
        """Run the request without its body if the body is too large; return whether it is."""
        if body.announced <= self._application.max_body_bytes:
            return False
        self._body = None
        self._drop_the_rest()
        if self._exchange is not None and self._delegate is not None:
            self._exchange.is_body_too_large = True
            self._delegate.finish()
        return True

    def _reject(
        self, problem: Problem, line: RequestStartLine | None, fields: HTTPHeaders | None = None
    ) -> None:
        """Make the application respond with a problem, and read no further request."""
        self._has_responded = False
        self._body = None
        self._awaits_head = False
        if line is None:
            self._write(_NOT_HTTP)
            self._linger_after_response()
            return
        self._drop_the_rest()
        exchange = self._exchange = Exchange(self, keeps_open=False, problem=problem)
        delegate = self._delegate = self._application.start_request(self, exchange)
        delegate.headers_received(head.without_query(line), head.without_content(fields))
        delegate.finish()

    def _fail(self) -> None:
        """Stop counting the request, respond in place of the application, and close."""
        delegate = self._delegate
        self._exchange = self._delegate = self._body = None
        if delegate is not None:
            delegate.on_connection_close()
        # The application may have responded before it failed.
        if not self._lingers and not self.transport.is_closing():
            if not self._has_responded:
                self._write(_FAILED)
            self._linger_after_response()

    def _end_overdue(self) -> None:
        """Respond if a body is incomplete: the client may wait for the response."""
        if self._body is None or self._delegate is None:
            super()._end_overdue()
            return
        self._delegate.on_connection_close()
        self._guarded(partial(self._reject, RequestTimeout(), self._start_line, self._fields))

    def _seconds_to_send(self, timeouts: Timeouts) -> float:
        return timeouts.body if self._body is not None else super()._seconds_to_send(timeouts)
