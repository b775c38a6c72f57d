"""The HTTP server: its limits, and how it ends without cutting anybody off."""

import asyncio
import resource
import socket

from tornado.httpserver import HTTPServer
from tornado.httputil import ParseBodyConfig, ParseUrlEncodedConfig, set_parse_body_config
from tornado.netutil import bind_sockets

from handlers.application import Application
from handlers.stream import Stream
from settings import Limits

MAX_HEADER_BYTES = 16 * 1024
# The limit of bodies is kept by handlers.delegate, which answers as a problem document.
_NO_LIMIT = 2**62
# Open files that are no clients: the database's, the log, the loop's own.
_OTHER_FILES = 100
_POLL_SECONDS = 0.02


class Server:
    """Listens for an application."""

    def __init__(self, application: Application, limits: Limits) -> None:
        # Tornado would refuse more than 1,000 fields of a query string with a bare 400, though
        # nothing here reads any; the limit of the head bounds them. It knows no setting but this.
        fields = ParseUrlEncodedConfig(max_arguments=MAX_HEADER_BYTES)
        set_parse_body_config(ParseBodyConfig(urlencoded=fields))
        self._application = application
        self._http = _CountingServer(
            application,
            max_header_size=MAX_HEADER_BYTES,
            max_body_size=_NO_LIMIT,
            idle_connection_timeout=limits.idle_timeout_seconds,
            body_timeout=limits.body_timeout_seconds,
        )
        self._http.max_connections = _possible_connections(limits.max_connections)

    def listen(self, host: str, port: int) -> int:
        """Listen, and return the port, which is a free one where 0 was asked for.

        Raises OSError where that is not possible.
        """
        sockets = bind_sockets(port, host)
        self._http.add_sockets(sockets)
        return int(sockets[0].getsockname()[1])

    async def drain(self, *, quiet_seconds: float, drain_seconds: float) -> None:
        """Stop without losing a request.

        For ``quiet_seconds`` everything is served as before, while /health/ready says that
        it is time to go elsewhere. Then nobody is accepted any more, and requests that run
        have ``drain_seconds`` to finish. Answers carry Connection: close all the while.
        """
        clock = asyncio.get_running_loop().time
        self._application.draining = True
        await asyncio.sleep(quiet_seconds)
        self._http.stop()
        deadline = clock() + drain_seconds
        while self._application.running > 0 and clock() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        await self._http.close_all_connections()


class _CountingServer(HTTPServer):
    """Tornado's server, with a limit to its connections."""

    open_connections = 0
    max_connections = 0

    def _handle_connection(self, connection: socket.socket, address: tuple[object, ...]) -> None:
        if self.open_connections >= self.max_connections:
            connection.close()
            return
        self.open_connections += 1
        self.handle_stream(Stream(connection), address)

    def on_close(self, server_conn: object) -> None:
        self.open_connections -= 1
        super().on_close(server_conn)


def _possible_connections(wanted: int) -> int:
    """Return how many connections the limit of open files allows, having raised it.

    Out of files, accepting fails again and again, and so does everything else.
    """
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + _OTHER_FILES
    if most != resource.RLIM_INFINITY:
        files = min(files, most)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(1, files - _OTHER_FILES)
