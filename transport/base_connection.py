"""A connection of a client: how it is opened, throttled, found idle or stuck, and closed."""

import asyncio
import fcntl
import termios
import time
from typing import NamedTuple, Protocol, cast

# How much is read and dropped after the last response, and for how long: closing a connection that
# has unread bytes resets it, and the client may never read the response.
LINGER_BYTES = 64 * 1024 * 1024
LINGER_SECONDS = 2.0
_COUNT_BYTES = 4


class Timeouts(NamedTuple):
    """How many seconds a client has for its first request, for each later one, and for a body."""

    first_request: float
    idle: float
    body: float


class Connections(Protocol):
    """The open connections of a server, within their limits.

    All receive into one buffer: with a buffer for each, it would be most of the memory of an idle
    connection.
    """

    receive_buffer: "memoryview[int]"

    def make_room(self, address: str | None) -> bool:
        """Return whether a connection from an IP address may open."""

    def add(self, connection: "BaseConnection", address: str | None) -> None:
        """Count an open connection."""

    def remove(self, connection: "BaseConnection") -> None:
        """Stop counting a connection."""


class BaseConnection(asyncio.BufferedProtocol):
    """A connection that at first awaits the head of a request; subclasses parse received bytes."""

    transport: asyncio.Transport

    def __init__(self, connections: Connections) -> None:
        self.remote_ip = "0.0.0.0"  # noqa: S104 - as Tornado reports clients on a Unix socket
        self.is_lost = False
        self._connections = connections
        self._buffer = connections.receive_buffer
        self._received = bytearray()
        self._is_first_head = True
        self._awaits_head = True
        self._accepted_at = self._since = time.monotonic()
        self._is_writable = True
        self._is_paused = False
        # How many more bytes may be dropped; None while received bytes are parsed.
        self._droppable: int | None = None
        self._lingers = False
        self._written = 0
        self._unsent = 0
        self._sent = 0
        self._unsent_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless a limit is reached or the client has disconnected."""
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else None
        # None, if the client has reset the connection: its request would have no IP address.
        if peer is None or not self._connections.make_room(address):
            self.is_lost = True
            self.transport.abort()
            return
        self._connections.add(self, address)
        if address is not None:
            self.remote_ip = address

    def connection_lost(self, _error: Exception | None) -> None:
        """Stop counting the connection."""
        self.is_lost = True
        self._connections.remove(self)
        self._received.clear()

    def get_buffer(self, sizehint: int) -> "memoryview[int]":  # noqa: ARG002 - asyncio's signature
        """Return the buffer that all connections share, whose content is copied at once."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Receive the first bytes of the buffer."""
        self.data_received(self._buffer[:nbytes])

    def data_received(self, data: "bytes | memoryview[int]") -> None:
        """Receive bytes, which are only valid until this returns."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        """Stop reading requests of a client that does not read its responses."""
        self._is_writable = False
        self._regulate_reading()

    def resume_writing(self) -> None:
        """Continue to read."""
        self._is_writable = True
        self._regulate_reading()

    @property
    def idle_since(self) -> float | None:
        """Return the monotonic time since which no request is read or runs; None if one is.

        While the client reads its last response, however slowly, it is about the current time.
        """
        return self._since if self._awaits_head or self._lingers else None

    def has_unread_bytes(self) -> bool:
        """Return whether bytes have arrived that the event loop is about to read, not to drop."""
        if self._lingers or self._is_paused:
            return False
        count = bytearray(_COUNT_BYTES)
        try:
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.FIONREAD, count)
        except OSError:
            return False
        return any(count)

    def has_partial_record(self) -> bool:
        """Return whether a part of a TLS record has arrived."""
        return bool(self.transport.get_extra_info("partial_record"))

    def close(self) -> None:
        """Close at once; bytes that the client has not received yet are lost."""
        if not self.transport.get_write_buffer_size():
            self.transport.close()
        # The alert that ends TLS may not fit into the buffer of the socket.
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def close_if_overdue(self, timeouts: Timeouts, now: float) -> None:
        """Close the connection if its client has not sent, or not received, for too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent and self._is_stuck(unsent, timeouts.idle, now):
            self.transport.abort()
        # One that is closing ends once the client has received the rest.
        elif not self.transport.is_closing() and (
            self._since < now - self._seconds_to_send(timeouts)
        ):
            self._end_overdue()
        self._unsent = unsent

    def close_if_unused(self, *, accepted_before: float) -> None:
        """Close the connection if it awaits a head and has received no part of it.

        Connections accepted after ``accepted_before``, a monotonic time, are kept: their clients
        are about to send a request.
        """
        if (
            self._awaits_head
            and self._accepted_at < accepted_before
            and not self.transport.get_write_buffer_size()
            and not self._received
            and not self.has_unread_bytes()
            and not self.has_partial_record()
        ):
            self.transport.close()

    def _is_stuck(self, unsent: int, seconds: float, now: float) -> bool:
        """Return whether the client has received none of the unsent bytes for too long."""
        if self._awaits_head or self._lingers:
            self._since = now
        # Further responses may have added to the unsent bytes although the client reads.
        sent = self._written - unsent
        if not self._unsent or sent > self._sent:
            self._unsent_since = now
        self._sent = sent
        return self._unsent_since < now - seconds

    def _seconds_to_send(self, timeouts: Timeouts) -> float:
        if self._lingers:
            return LINGER_SECONDS
        if not self._awaits_head:
            return float("inf")
        return timeouts.first_request if self._is_first_head else timeouts.idle

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        self.transport.write(data)

    def _end_overdue(self) -> None:
        """End a connection whose client has not sent for too long."""
        self.transport.abort()

    def _drop_the_rest(self) -> None:
        """Drop all further bytes, up to a limit."""
        self._droppable = LINGER_BYTES
        size = len(self._received)
        self._received.clear()
        self._drop(size)

    def _drop(self, size: int) -> None:
        self._droppable = (self._droppable or 0) - size
        if self._droppable <= 0 and self._lingers:
            self.transport.close()
        self._regulate_reading()

    def _linger_after_response(self) -> None:
        """End the output, and drop the input until the client closes (RFC 9112, section 9.6).

        The client may still be sending, even if nothing has arrived yet.
        """
        self._awaits_head = False
        self._lingers = True
        self._since = time.monotonic()
        if self._droppable is None:
            self._drop_the_rest()
        elif self._droppable <= 0:
            self.transport.close()
        if not self.transport.is_closing():
            self.transport.write_eof()
            self._regulate_reading()

    def _may_read(self) -> bool:
        """Return whether further bytes may be received."""
        return self._is_writable and (self._droppable is None or self._droppable > 0)

    def _regulate_reading(self) -> None:
        """Read, or pause reading, as the state of the connection requires."""
        must_pause = not self._may_read()
        if must_pause == self._is_paused or self.transport.is_closing():
            return
        self._is_paused = must_pause
        if must_pause:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
