"""The stream of one connection, without the repeated work of Tornado's own."""

import socket
import time
from asyncio import Future
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from rules.errors import Problem
from transport.head import find_problem, without_excess

# How much of pipelined requests, or of a body, is read ahead.
_READ_AHEAD_BYTES = 64 * 1024
MAX_BUFFER_BYTES = 1024 * 1024


class Stream(IOStream):
    """A stream that always listens, and sends without delay.

    Tornado stops listening when bytes arrive while nothing reads, as happens between two requests
    of a busy connection, and starts again a moment later: two system calls and more for each
    request. It also turns Nagle's algorithm off and on for each response. Responses are written
    whole here, so the algorithm has nothing to gather.
    """

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, max_buffer_size=MAX_BUFFER_BYTES)
        super().set_nodelay(True)
        # Why the last head is refused, if it is.
        self.head_problem: Problem | None = None
        self.on_close: Callable[[Stream], None] = _do_nothing
        self._head: Future[bytes] | None = None
        self._head_awaited_since = 0.0
        self._is_first_head = True
        self._accepted_at = time.monotonic()
        self._last_written_index = -1
        self._last_written_at = 0.0

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """Read the head of a request, which is all that Tornado reads by a pattern.

        After a refused head nothing more is read: the end of its body is unknown. Nor is a request
        that was buffered before the stream was closed, as Tornado's own stream would.
        """
        if self.head_problem is not None or self.closed():
            raise StreamClosedError
        self._head_awaited_since = time.monotonic()
        self._is_first_head = self._head is None
        self._head = cast("Future[bytes]", super().read_until_regex(regex, max_bytes))
        return self._check_head(self._head)

    async def _check_head(self, head_future: "Future[bytes]") -> bytes:
        head = await head_future
        self.head_problem = find_problem(head)
        return head if self.head_problem is None else without_excess(head)

    @property
    def idle_since(self) -> float | None:
        """Return the monotonic time since which a head is awaited; None if none is awaited."""
        return self._head_awaited_since if self._awaits_head else None

    @property
    def _awaits_head(self) -> bool:
        return self._head is not None and not self._head.done()

    def has_unread_bytes(self) -> bool:
        """Return whether bytes have arrived that the event loop is about to read."""
        return Stream._has_received(self)

    def close_if_idle(self, *, since: float, first_since: float) -> None:
        """Close a stream that has awaited a head since before a monotonic time.

        ``first_since`` applies to clients that connected and have not sent a complete head yet.
        """
        idle_since = self.idle_since
        if idle_since is not None and idle_since < (first_since if self._is_first_head else since):
            self.close()

    def close_if_stuck(self, *, since: float) -> None:
        """Close a stream whose client has received none of its pending bytes since a time."""
        if not self.writing():
            self._last_written_index = -1
        elif self._last_written_index != self._total_write_done_index:
            self._last_written_index = self._total_write_done_index
            self._last_written_at = time.monotonic()
        elif self._last_written_at < since:
            self.close()

    def close_if_unused(self, *, accepted_before: float) -> None:
        """Close a stream that awaits a head and has received no part of it.

        ``accepted_before`` is monotonic: a client that has just connected is about to send one.
        """
        is_quiet = self._awaits_head and not self.writing() and not self._read_buffer_size
        if is_quiet and self._accepted_at < accepted_before and not self._has_received():
            self.close()

    def _has_received(self) -> bool:
        """Return whether the socket has bytes that were not read."""
        try:
            # Not TLS's own recv(), which cannot peek. Encrypted bytes count as well.
            return bool(socket.socket.recv(self.socket, 1, socket.MSG_PEEK))
        except OSError:
            return False

    def close_fd(self) -> None:
        """Close the socket and call ``on_close``."""
        super().close_fd()
        self.on_close(self)

    def reading(self) -> bool:
        """Return whether to listen, which stays true while few bytes are buffered."""
        return self._read_buffer_size < _READ_AHEAD_BYTES or super().reading()

    def set_nodelay(self, value: bool) -> None:  # noqa: FBT001 - Tornado's signature
        """Do nothing: the option stays on."""


class TlsStream(Stream, SSLIOStream):
    """A stream over TLS whose handshake has not started."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self._has_partial_record = False

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Read decrypted bytes.

        OpenSSL consumes the part of an incomplete record without returning any of it.
        """
        has_received = super()._has_received()
        count = super().read_from_fd(buf)
        if count is not None:
            self._has_partial_record = False
        elif has_received and self.socket.version() is not None:  # after the handshake
            self._has_partial_record = True
        return count

    def close_fd(self) -> None:
        """Close the socket; if all was sent, with the alert that marks the end (RFC 8446, 6.1)."""
        if not self.writing():
            with suppress(OSError, ValueError):  # ValueError: the handshake is not complete
                self.socket.unwrap()
        super().close_fd()

    def _has_received(self) -> bool:
        return self._has_partial_record or super()._has_received()


def _do_nothing(_stream: Stream) -> None:
    pass
