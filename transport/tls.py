"""TLS on a client's connection."""

import asyncio
from collections import deque
from contextlib import suppress
from ssl import MemoryBIO, SSLContext, SSLError, SSLWantReadError
from typing import cast

from transport.base_connection import BaseConnection

_READ_BYTES = 64 * 1024
_HEADER_BYTES = 5
# How much of a response is encrypted in a turn of the event loop: one record. Many clients may
# request large responses at once, and other clients have to wait meanwhile.
_PART_BYTES = 16 * 1024


class TlsTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """Decrypts the input of a transport, and encrypts the output of a connection.

    asyncio has TLS as well, but does not report whether a part of a record has arrived: a drain
    would then lose a request that is arriving. The handshake counts as time to send the first
    request.

    A large response is encrypted in parts, while the client reads it: otherwise the encrypted copy
    of a whole one would be in memory for each client that reads slowly. Until the last part, the
    connection writes no further response.
    """

    def __init__(self, context: SSLContext, connection: BaseConnection) -> None:
        super().__init__()
        self._connection = connection
        self._incoming, self._outgoing = MemoryBIO(), MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._has_handshake = False
        self._has_ended = False
        self._records = _Records()
        self._unencrypted: deque[memoryview[int]] = deque()
        # Whether the transport below has no room, and whether the connection is paused.
        self._is_full = False
        self._is_connection_paused = False
        self._next_part: asyncio.Handle | None = None
        # What to do once everything is encrypted.
        self._then_ends = False
        self._then_closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = cast(asyncio.Transport, transport)
        self._connection.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unencrypted.clear()
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._is_full = True
        self._pause_or_resume_connection()

    def resume_writing(self) -> None:
        self._is_full = False
        self._encrypt()

    def get_buffer(self, sizehint: int) -> "memoryview[int]":
        return self._connection.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self.get_buffer(nbytes)[:nbytes])

    def data_received(self, data: "bytes | memoryview[int]") -> None:
        """Decrypt all complete records; after the end, they are dropped without decryption."""
        if self._has_ended:
            self._connection.data_received(data)
            return
        self._records.count(data)
        self._incoming.write(data)
        try:
            if not self._has_handshake:
                self._tls.do_handshake()
                self._has_handshake = True
            # The connection may end its output while it receives: then the rest is dropped.
            while not self._has_ended and (content := self._tls.read(_READ_BYTES)):
                self._connection.data_received(content)
            if not self._has_ended:
                self.close()  # the client has sent the alert that marks the end
        except SSLWantReadError:
            pass
        except SSLError:
            self._unencrypted.clear()
            self._flush()  # the alert has the reason
            self._below.close()
        self._flush()

    def eof_received(self) -> bool:
        """Close with an alert: a client that closes its sending side counts as disconnected.

        Return whether the transport below must stay open for pending bytes.
        """
        self.close()
        return bool(self._unencrypted)

    def write(self, data: "bytes | bytearray | memoryview[int]") -> None:
        self._unencrypted.append(memoryview(data))
        self._encrypt()

    def write_eof(self) -> None:
        """Send the alert that marks the end (RFC 8446, section 6.1), after the pending bytes."""
        self._then_ends = True
        self._encrypt()

    def close(self) -> None:
        """Close after the pending bytes, with the alert that marks the end."""
        self._then_closes = True
        if self._unencrypted and not self._below.is_closing():
            self._below.pause_reading()
        self._encrypt()

    def abort(self) -> None:
        self._unencrypted.clear()
        self._below.abort()

    def is_closing(self) -> bool:
        return self._then_closes or self._below.is_closing()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size() + sum(map(len, self._unencrypted))

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return information of the transport below, or whether it received a part of a record."""
        if name == "partial_record":
            return self._has_handshake and self._records.has_part
        return self._below.get_extra_info(name, default)

    def _encrypt(self) -> None:
        """Encrypt a part if the transport below has room, and the next one in the next turn."""
        if self._unencrypted and not self._is_full and self._next_part is None:
            self._encrypt_part()
            if self._unencrypted:
                self._next_part = asyncio.get_running_loop().call_soon(self._encrypt_next)
        if self._below.is_closing():
            return
        if not self._unencrypted:
            self._finish()
        self._pause_or_resume_connection()

    def _encrypt_next(self) -> None:
        self._next_part = None
        self._encrypt()

    def _encrypt_part(self) -> None:
        rest = self._unencrypted.popleft()
        try:
            written = self._tls.write(rest[:_PART_BYTES])
        except SSLError:
            self.abort()
            return
        if written < len(rest):
            self._unencrypted.appendleft(rest[written:])
        self._flush()

    def _pause_or_resume_connection(self) -> None:
        must_wait = self._is_full or bool(self._unencrypted)
        if must_wait == self._is_connection_paused:
            return
        self._is_connection_paused = must_wait
        if must_wait:
            self._connection.pause_writing()
        else:
            self._connection.resume_writing()

    def _finish(self) -> None:
        """End or close if that is due after the last byte."""
        if self._has_handshake and (self._then_ends or self._then_closes):
            self._end()
        if self._then_closes:
            self._below.close()
        elif self._then_ends:
            self._then_ends = False
            self._below.write_eof()

    def _end(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        with suppress(SSLError, ValueError):
            # SSLWantReadError: the alert of the client is not awaited.
            self._tls.unwrap()
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._below.write(self._outgoing.read())


class _Records:
    """Counts the bytes of records (RFC 8446, section 5.1): OpenSSL does not report partial ones."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._missing = 0

    @property
    def has_part(self) -> bool:
        """Return whether the last record is incomplete."""
        return bool(self._missing or self._header)

    def count(self, data: "bytes | memoryview[int]") -> None:
        """Count received bytes."""
        start = 0
        while start < len(data):
            if self._missing:
                skipped = min(self._missing, len(data) - start)
                self._missing -= skipped
            else:
                skipped = min(_HEADER_BYTES - len(self._header), len(data) - start)
                self._header += data[start : start + skipped]
                if len(self._header) == _HEADER_BYTES:
                    self._missing = int.from_bytes(self._header[3:])
                    self._header.clear()
            start += skipped
