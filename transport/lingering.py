"""A connection that outlives an early refusal, so that the client sees the response.

To close a connection that has unread bytes resets it, and the client may never read what was sent.
"""

import asyncio
from collections.abc import Callable

from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPConnection, HTTPHeaders, RequestStartLine, ResponseStartLine
from tornado.iostream import IOStream

# How much of a refused body is read and dropped, and for how long after the response.
LINGER_BYTES = 64 * 1024 * 1024
LINGER_SECONDS = 2.0


class LingeringConnection(HTTPConnection):
    """A connection that stays open after the response until the body was read and dropped."""

    def __init__(self, connection: HTTP1Connection) -> None:
        self._connection = connection
        self._dropped = 0
        self._is_answered = False
        self._is_body_over = False
        self._is_closed = False
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def stream(self) -> IOStream:
        """Return the underlying stream."""
        return self._connection.stream

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        self._connection.set_close_callback(callback)

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "asyncio.Future[None]":
        headers["Connection"] = "close"
        return self._connection.write_headers(start_line, headers, chunk)

    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        return self._connection.write(chunk)

    def finish(self) -> None:
        self._is_answered = True
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(LINGER_SECONDS, self.end_body)
        self._close_when_done()

    def drop(self, size: int) -> None:
        """Count bytes of the body that were read and dropped."""
        self._dropped += size
        if self._dropped > LINGER_BYTES:
            self.end_body()

    def end_body(self) -> None:
        """Expect no more of the body: close the connection once the response is sent."""
        self._is_body_over = True
        self._close_when_done()

    def _close_when_done(self) -> None:
        if self._is_answered and self._is_body_over and not self._is_closed:
            self._is_closed = True
            if self._deadline is not None:
                self._deadline.cancel()
            self._connection.finish()
            self._connection.close()
