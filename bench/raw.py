"""The limit `raw`: httptools on uvloop, with a fixed response, and nothing else.

No Python server with this parser and this event loop can be faster. Run as `python -m bench.raw`;
it listens on a free port of 127.0.0.1 and prints its URL.
"""

import asyncio
import json
from typing import cast

import uvloop
from httptools import HttpRequestParser

from bench.bare import USER

_BODY = json.dumps(USER).encode()
_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class _Connection(asyncio.Protocol):
    """Parses each request, and responds at its end."""

    def __init__(self) -> None:
        self.data_received = HttpRequestParser(self).feed_data  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def on_url(self, url: bytes) -> None:
        """Receive the target."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Receive a field."""

    def on_message_complete(self) -> None:
        """Respond."""
        self._transport.write(_RESPONSE)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(f"raw listens on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
