"""Between Tornado's connection and a handler: gathers the body, and keeps it within the limit.

Tornado answers a body over its own limit with a bare 400. Here the handler runs instead,
without the body, and refuses it in its turn: after path, method and credentials.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from tornado.concurrent import Future
from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream
from tornado.web import RequestHandler, _HandlerDelegate

from transport.application import ServedApplication

# After the refusal the rest of the body is read and dropped for a while: closing a
# connection that has unread bytes resets it, and the client may never see the answer.
LINGER_BYTES = 64 * 1024 * 1024
LINGER_SECONDS = 2.0
_MOST_DIGITS = 15


class RequestDelegate(_HandlerDelegate):
    """Hands a request to its handler once the body is there, or is known to be too large."""

    application: ServedApplication

    def __init__(
        self,
        application: ServedApplication,
        request: HTTPServerRequest,
        handler_class: type[RequestHandler],
        path_args: list[bytes] | None = None,
    ) -> None:
        super().__init__(application, request, handler_class, None, path_args, None)
        self._lingering: _LingeringConnection | None = None

    def headers_received(
        self, _start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self.application.running += 1
        expects = headers.get("Expect", "").lower() == "100-continue"
        if expects:
            headers["Expect"] = "100-continue"  # the one spelling that Tornado knows
        length = headers.get("Content-Length", "").lstrip("0")
        if not length.isdecimal() or "Transfer-Encoding" in headers:
            # No length, or one that Tornado refuses when it goes on to read the body.
            return None
        is_absurd = len(length) > _MOST_DIGITS
        if not is_absurd and int(length) <= self.application.max_body_bytes:
            return None
        answer = self._refuse_body()
        if self._lingering is not None and (expects or is_absurd):
            # The body is not sent before the answer, or never ends: none is waited for.
            self._lingering.body_ended()
        return answer

    def data_received(self, data: bytes) -> Awaitable[None] | None:
        if self._lingering is not None:
            self._lingering.drop(len(data))
            return None
        self.chunks += data
        if len(self.chunks) <= self.application.max_body_bytes:
            return None
        return self._refuse_body()

    def finish(self) -> None:
        if self._lingering is not None:
            self._lingering.body_ended()
        else:
            self._run(body_too_large=False)

    def on_connection_close(self) -> None:
        self.chunks.clear()
        if self._lingering is not None:
            self._lingering.body_ended()
        else:
            # Told only of a request that was not handed over: a handler counts itself out.
            self.application.running -= 1

    def _refuse_body(self) -> Awaitable[None] | None:
        self.chunks.clear()
        connection = cast(HTTP1Connection, self.request.connection)
        self._lingering = self.request.connection = _LingeringConnection(connection)
        # Tornado would tell of a client that hangs up only once the body is there.
        connection.stream.set_close_callback(
            connection._on_connection_close  # noqa: SLF001 - what Tornado registers later
        )
        return self._run(body_too_large=True)

    def _run(self, *, body_too_large: bool) -> Awaitable[None] | None:
        self.handler_kwargs = {"body_too_large": body_too_large}
        self.request.body = bytes(self.chunks)
        # Handlers are of the streaming kind, so that Tornado does not parse forms; the body
        # that such a handler waits for is complete.
        complete: Future[None] = Future()
        complete.set_result(None)
        self.request._body_future = complete  # noqa: SLF001 - what Tornado's own delegate sets
        return self.execute()


class _LingeringConnection(HTTPConnection):
    """A connection that stays open after the answer until the body was read and dropped."""

    def __init__(self, connection: HTTP1Connection) -> None:
        self._connection = connection
        self._dropped = 0
        self._answered = False
        self._ended = False
        self._closed = False
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def stream(self) -> IOStream:
        """Return the stream below."""
        return self._connection.stream

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        self._connection.set_close_callback(callback)

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "Future[None]":
        headers["Connection"] = "close"
        return self._connection.write_headers(start_line, headers, chunk)

    def write(self, chunk: bytes) -> "Future[None]":
        return self._connection.write(chunk)

    def finish(self) -> None:
        self._answered = True
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(LINGER_SECONDS, self.body_ended)
        self._close_when_done()

    def drop(self, size: int) -> None:
        """Count bytes of the body that were read and dropped."""
        self._dropped += size
        if self._dropped > LINGER_BYTES:
            self.body_ended()

    def body_ended(self) -> None:
        """Close the connection, once the answer is out: nothing more is expected."""
        self._ended = True
        self._close_when_done()

    def _close_when_done(self) -> None:
        if self._answered and self._ended and not self._closed:
            self._closed = True
            if self._deadline is not None:
                self._deadline.cancel()
            self._connection.finish()
            self._connection.close()
