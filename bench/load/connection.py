"""A lean HTTP/1.1 client connection: one request at a time, kept alive."""

import asyncio
import re
import time
from dataclasses import dataclass

GOOD = 200
_END_OF_HEADERS = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
_STATUS = slice(9, 12)  # of "HTTP/1.1 200 OK"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and when the last byte of it did (perf_counter)."""

    status: int
    retry_after: int | None
    body: bytes
    at: float


class Connection(asyncio.Protocol):
    """One connection to 127.0.0.1; opened again where the server has closed it in between."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", self._port)

    async def ask(self, request: bytes) -> Answer:
        """Send a request and return its answer; ConnectionError where there is none."""
        if self._transport is None:
            await self.open()
        if self._transport is None:
            raise ConnectionError("There is no connection.")
        self._received.clear()
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(_END_OF_HEADERS)
        if not found:
            return
        length = _LENGTH.search(head)
        if length is None:
            self._fail(ConnectionError("An answer without Content-Length."))
        elif len(body) >= int(length[1]) and self._waiting and not self._waiting.done():
            retry_after = _RETRY_AFTER.search(head)
            self._waiting.set_result(
                Answer(
                    int(head[_STATUS]),
                    int(retry_after[1]) if retry_after else None,
                    bytes(body),
                    time.perf_counter(),
                )
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(exc or ConnectionError("The server closed the connection."))

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
