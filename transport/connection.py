"""The stream of a connection, kept from doing again and again what need not be done."""

import socket
import time
from asyncio import Future
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from rules.errors import Problem
from transport.head import refusal_of, without_excess

# What may gather of a client's next requests, or of a body, before it is read on.
_ENOUGH_BYTES = 64 * 1024
MAX_BUFFER_BYTES = 1024 * 1024


class Stream(IOStream):
    """A stream that listens all the time, and sends without delay.

    Tornado stops listening when bytes come while nobody reads, as they do between two requests
    of a busy connection, and starts again a moment later: two system calls and more for each
    request. It also switches Nagle's algorithm off and on for each answer; answers are
    written whole here, so the algorithm has nothing to gather.
    """

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, max_buffer_size=MAX_BUFFER_BYTES)
        super().set_nodelay(True)
        # Why the head that was read last is refused, if it is.
        self.refusal: Problem | None = None
        self.when_closed: Callable[[Stream], None] = _do_nothing
        self._head: Future[bytes] | None = None
        self._head_awaited_since = 0.0
        self._is_first_head = True
        self._accepted_at = time.monotonic()
        self._seen_written = -1
        self._seen_written_at = 0.0

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """Read the head of a request, which is all that Tornado reads by a pattern.

        Behind one that was refused nothing is read: nobody knows where its body ends.
        """
        if self.refusal is not None:
            raise StreamClosedError
        self._head_awaited_since = time.monotonic()
        self._is_first_head = self._head is None
        self._head = cast("Future[bytes]", super().read_until_regex(regex, max_bytes))
        return self._with_few_parts(self._head)

    async def _with_few_parts(self, coming: "Future[bytes]") -> bytes:
        head = await coming
        self.refusal = refusal_of(head)
        return head if self.refusal is None else without_excess(head)

    @property
    def idle_since(self) -> float | None:
        """Return since when (monotonic) a head is waited for, or half of one; None if none is."""
        is_waiting = self._head is not None and not self._head.done()
        return self._head_awaited_since if is_waiting else None

    def is_about_to_be_read(self) -> bool:
        """Tell whether bytes have come that this turn of the loop, or the next one, reads."""
        return Stream._has_come(self)

    def close_if_idle(self, *, since: float, first_since: float) -> None:
        """Close a stream that has been waiting for a head since before some time (monotonic).

        ``first_since`` is for those who connected, and did not send one head yet.
        """
        idle_since = self.idle_since
        if idle_since is not None and idle_since < (first_since if self._is_first_head else since):
            self.close()

    def close_if_stuck(self, *, since: float) -> None:
        """Close a stream whose client has taken nothing of what it is sent since some time."""
        if not self.writing():
            self._seen_written = -1
        elif self._seen_written != self._total_write_done_index:
            self._seen_written = self._total_write_done_index
            self._seen_written_at = time.monotonic()
        elif self._seen_written_at < since:
            self.close()

    def close_if_unused(self, *, accepted_before: float) -> None:
        """Close a stream that waits for a head of which nothing has come yet, if it is old enough.

        ``accepted_before`` is monotonic: who has just connected is about to send something.
        """
        is_waiting = self._head is not None and not self._head.done()
        is_quiet = is_waiting and not self.writing() and not self._read_buffer_size
        if is_quiet and self._accepted_at < accepted_before and not self._has_come():
            self.close()

    def _has_come(self) -> bool:
        """Tell whether something has come that was not read."""
        try:
            # Not TLS's own, which knows no peeking: what has come is there, if not yet readable.
            return bool(socket.socket.recv(self.socket, 1, socket.MSG_PEEK))
        except OSError:
            return False

    def close_fd(self) -> None:
        """Close, and say so."""
        super().close_fd()
        self.when_closed(self)

    def reading(self) -> bool:
        """Tell whether to listen: while little is there that was not read yet."""
        return self._read_buffer_size < _ENOUGH_BYTES or super().reading()

    def set_nodelay(self, value: bool) -> None:  # noqa: FBT001 - Tornado's signature
        """Leave it on."""


class TlsStream(Stream, SSLIOStream):
    """A stream over TLS, whose handshake is to come."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self._part_has_come = False

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Read what is deciphered.

        Of a record that has not come whole, OpenSSL takes the part and shows nothing of it.
        """
        has_come = super()._has_come()
        count = super().read_from_fd(buf)
        if count is not None:
            self._part_has_come = False
        elif has_come and self.socket.version() is not None:  # the handshake is over
            self._part_has_come = True
        return count

    def close_fd(self) -> None:
        """Close; where all was sent, say that this is the end, no cut (RFC 8446, 6.1)."""
        if not self.writing():
            with suppress(OSError, ValueError):  # without a handshake there is nobody to say it to
                self.socket.unwrap()
        super().close_fd()

    def _has_come(self) -> bool:
        return self._part_has_come or super()._has_come()


def _do_nothing(_stream: Stream) -> None:
    pass
