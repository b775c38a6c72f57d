"""The body of a request: where it ends, and what it contains."""

from typing import Protocol

from httptools import HttpParserError, HttpRequestParser

from rules.errors import MalformedRequest

_CHUNKED_HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
_LINE_END = b"\r\n"
# A chunk's size with its extensions, or a field of the trailer.
_MAX_LINE_BYTES = 512
# The lines of all chunks and of the trailer together, which bounds the time to parse them.
_MAX_OVERHEAD_BYTES = 16 * 1024


class Body(Protocol):
    """The body that a connection reads."""

    @property
    def announced(self) -> int:
        """Return how many bytes the client has sent or announced."""

    @property
    def is_complete(self) -> bool:
        """Return whether all bytes were taken."""

    def take(self, received: bytearray) -> bytes:
        """Remove what belongs to the body, and return its content; raise MalformedRequest."""


class FixedBody:
    """A body with a Content-Length."""

    __slots__ = ("_missing", "announced")

    def __init__(self, length: int) -> None:
        self.announced = length
        self._missing = length

    @property
    def is_complete(self) -> bool:
        """Return whether all bytes were taken."""
        return not self._missing

    def take(self, received: bytearray) -> bytes:
        """Remove the bytes of the body, and return them."""
        content = bytes(received[: self._missing])
        del received[: len(content)]
        self._missing -= len(content)
        return content


class ChunkedBody:
    """A body in the chunked coding.

    llhttp decodes it, but does not report where it ends and the next request begins. It therefore
    gets no more than a line at a time, or the data of a chunk, whose size it has accepted.
    """

    __slots__ = (
        "_content",
        "_in_trailer",
        "_missing",
        "_overhead",
        "_parser",
        "announced",
        "is_complete",
    )

    def __init__(self) -> None:
        self.announced = 0
        self.is_complete = False
        self._content: list[bytes] = []
        self._in_trailer = False
        self._missing = 0
        self._overhead = 0
        self._parser = HttpRequestParser(self)
        self._parser.feed_data(_CHUNKED_HEAD)

    def take(self, received: bytearray) -> bytes:
        """Remove what belongs to the body, and return its content; raise MalformedRequest."""
        try:
            while received and not self.is_complete and self._take_part(received):
                pass
        except HttpParserError:
            raise MalformedRequest from None
        content = b"".join(self._content)
        self._content.clear()
        return content

    def on_body(self, data: bytes) -> None:
        """Receive content from llhttp."""
        self._content.append(data)

    def on_message_complete(self) -> None:
        """Receive the end from llhttp."""
        self.is_complete = True

    def _take_part(self, received: bytearray) -> bool:
        """Take a part; return whether there was a complete one."""
        if self._missing:
            data = bytes(received[: self._missing])
            self._missing -= len(data)
            self._feed(received, data)
            return True
        end = received.find(b"\n") + 1
        if not end:
            if len(received) > _MAX_LINE_BYTES:
                raise MalformedRequest
            return False
        line = bytes(received[:end])
        self._overhead += end
        if end > _MAX_LINE_BYTES or self._overhead > _MAX_OVERHEAD_BYTES:
            raise MalformedRequest
        self._feed(received, line)
        if not self._in_trailer:
            self._begin_chunk(int(line.partition(b";")[0], 16))
        return True

    def _feed(self, received: bytearray, part: bytes) -> None:
        self._parser.feed_data(part)
        del received[: len(part)]

    def _begin_chunk(self, size: int) -> None:
        self._in_trailer = not size
        self._missing = size + len(_LINE_END) if size else 0
        self.announced += size
