"""The HTTP server: its limits, and how it ends without cutting anybody off."""

import asyncio
import socket

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets

from handlers.application import Application

MAX_HEADER_BYTES = 16 * 1024
# The limit of bodies is kept by handlers.delegate, which answers as a problem document.
_NO_LIMIT = 2**62
# How long an idle connection stays open once the server drains: time for a request that is
# on its way to arrive, and for whoever asks /health/ready to learn of it.
_QUIET_SECONDS = 1.0
_POLL_SECONDS = 0.02


class Server:
    """Listens for an application."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._http = _CountingServer(
            application, max_header_size=MAX_HEADER_BYTES, max_body_size=_NO_LIMIT
        )

    def listen(self, host: str, port: int) -> int:
        """Listen, and return the port, which is a free one where 0 was asked for.

        Raises OSError where that is not possible.
        """
        sockets = bind_sockets(port, host)
        self._http.add_sockets(sockets)
        return int(sockets[0].getsockname()[1])

    def add_socket(self, listening: socket.socket) -> None:
        """Listen on a socket that was made elsewhere."""
        self._http.add_socket(listening)

    async def drain(self, seconds: float) -> None:
        """Stop: accept nobody, let requests that run finish for so many seconds, close.

        Requests that still arrive on open connections are answered, with Connection: close.
        """
        clock = asyncio.get_running_loop().time
        self._application.draining = True
        self._http.stop()
        deadline = clock() + seconds
        quiet = clock() + min(seconds, _QUIET_SECONDS)
        while self._is_busy(idle_too=clock() < quiet) and clock() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        await self._http.close_all_connections()

    def _is_busy(self, *, idle_too: bool) -> bool:
        return self._application.running > 0 or (idle_too and self._http.open_connections > 0)


class _CountingServer(HTTPServer):
    """Tornado's server, which knows how many connections are open."""

    open_connections = 0

    def handle_stream(self, stream: IOStream, address: tuple[object, ...]) -> None:
        self.open_connections += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        self.open_connections -= 1
        super().on_close(server_conn)
