"""A minimal HTTP/1.1 client connection, for the bench and the soak: one request at a time."""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import cast

_HEADERS_END = b"\r\n\r\n"
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class MalformedResponse(ConnectionError):
    """The server sent bytes that are not a response of this API."""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response, and when its last byte arrived (perf_counter)."""

    status: int
    headers: bytes
    body: bytes
    received_at: float

    def header(self, name: str) -> str | None:
        """Return the value of a header."""
        pattern = rf"\r\n{re.escape(name)}: *([^\r]*)".encode()
        match = re.search(pattern, self.headers, re.IGNORECASE)
        return match[1].decode("latin-1").strip() if match else None

    @property
    def retry_after(self) -> int | None:
        """Return the seconds of Retry-After."""
        value = self.header("Retry-After") or ""
        return int(value) if value.isdecimal() else None


class Connection:
    """A connection to 127.0.0.1; a request opens it again if it was closed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._protocol: _Protocol | None = None

    async def open(self) -> None:
        """Connect, unless the connection is open."""
        if self._protocol is None or self._protocol.transport.is_closing():
            loop = asyncio.get_running_loop()
            _, self._protocol = await loop.create_connection(_Protocol, "127.0.0.1", self.port)

    async def send(self, request: bytes) -> None:
        """Send a request without waiting for the response."""
        await self.open()
        if self._protocol is not None:
            self._protocol.send(request)

    async def receive(self) -> Response:
        """Return the response to the request sent; raises OSError if there is none."""
        if self._protocol is None or self._protocol.response is None:
            raise ConnectionError("No request was sent.")
        return await self._protocol.response

    async def request(self, request: bytes) -> Response:
        """Send a request and return the response; raises OSError if there is none."""
        await self.send(request)
        return await self.receive()

    def close(self) -> None:
        """Abort the connection."""
        if self._protocol is not None:
            self._protocol.transport.abort()
            self._protocol = None


class _Protocol(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.response: asyncio.Future[Response] | None = None
        self._received = bytearray()

    def send(self, request: bytes) -> None:
        self._received.clear()
        self.response = asyncio.get_running_loop().create_future()
        self.transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        headers, end, body = self._received.partition(_HEADERS_END)
        if not end:
            return
        status, length = _STATUS_LINE.match(headers), _length(headers)
        if status is None or length is None:
            self._fail(MalformedResponse(f"no status or no Content-Length: {bytes(headers)!r}"))
            self.transport.abort()
        elif len(body) >= length and self.response and not self.response.done():
            response = Response(int(status[1]), bytes(headers), bytes(body), time.perf_counter())
            if (response.header("Connection") or "").lower() == "close":
                # The next request must not race with the server, which closes it as well.
                self.transport.abort()
            self.response.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("The server closed the connection."))

    def _fail(self, error: Exception) -> None:
        if self.response is not None and not self.response.done():
            self.response.set_exception(error)
            self.response.exception()  # retrieved: a caller may close without receiving


def _length(headers: bytes | bytearray) -> int | None:
    """Return the length of the body; a response 204 has none."""
    if headers.startswith(b"HTTP/1.1 204 "):
        return 0
    found = _LENGTH.search(headers)
    return int(found[1]) if found else None
