"""The HTTP server: its limits, and how it ends without cutting anybody off."""

import asyncio
import resource
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from tornado.httpserver import HTTPServer
from tornado.httputil import ParseBodyConfig, ParseUrlEncodedConfig, set_parse_body_config
from tornado.netutil import bind_sockets

from settings.model import LimitSettings
from transport.application import ServedApplication
from transport.certificate import Certificate
from transport.connection import Stream, TlsStream
from transport.connections import Connections
from transport.head import MOST_PARAMETERS

MAX_HEADER_BYTES = 16 * 1024
# The limit of bodies is kept by transport.body, which answers as a problem document.
_NO_LIMIT = 2**62
# Open files that are no clients: the database's, the log, the loop's own.
_OTHER_FILES = 100
_POLL_SECONDS = 0.02
# Who may wait to be accepted, as far as the system allows.
_BACKLOG = 4096
# What those who were accepted last have to send a request, a handshake before it included.
_FIRST_REQUEST_SECONDS = 0.5
_OF_NETWORKS = (socket.AF_INET, socket.AF_INET6)
# How often a look is taken for idle connections, at the least.
_MOST_PERIOD_SECONDS = 1.0


class Server:
    """Listens for an application; over HTTPS, where there is a certificate."""

    def __init__(
        self,
        application: ServedApplication,
        limits: LimitSettings,
        certificate: Certificate | None = None,
    ) -> None:
        # More are refused before, with a problem document: by transport.head.
        fields = ParseUrlEncodedConfig(max_arguments=MOST_PARAMETERS)
        set_parse_body_config(ParseBodyConfig(urlencoded=fields))
        self._application = application
        self._http = _LimitedServer(
            application,
            max_header_size=MAX_HEADER_BYTES,
            max_body_size=_NO_LIMIT,
            body_timeout=limits.body_timeout_seconds,
        )
        self._http.conn_params.header_timeout = None
        self._http.connections = Connections(
            most=_possible_connections(limits.max_connections),
            most_of_network=limits.network_connections,
            is_trusted=application.addresses.trusts,
        )
        self._http.idle_timeout_seconds = limits.idle_timeout_seconds
        self._http.first_request_seconds = min(
            limits.first_request_seconds, limits.idle_timeout_seconds
        )
        self._http.certificate = certificate

    def listen(self, host: str, port: int) -> int:
        """Listen, and return the port, which is a free one where 0 was asked for.

        Raises OSError where that is not possible.
        """
        self._own_sockets = sockets = bind_sockets(port, host, backlog=_BACKLOG)
        self._begin(sockets)
        return int(sockets[0].getsockname()[1])

    def listen_at(self, sockets: Sequence[socket.socket]) -> None:
        """Listen at sockets that belong to somebody else, who keeps them open after the end."""
        self._own_sockets = []
        self._begin(sockets)

    async def drain(self, *, drain_delay_seconds: float, drain_seconds: float) -> None:
        """Stop without losing a request.

        For ``drain_delay_seconds`` everything is served as before, while /health/ready says that
        it is time to go elsewhere. Then nobody is accepted any more, and requests that run,
        or of which a part has come, have ``drain_seconds`` to finish. Answers carry
        Connection: close all the while. At sockets of somebody else nobody new is accepted from
        the beginning: they wait there, for whoever listens next.
        """
        clock = asyncio.get_running_loop().time
        self._application.draining = True
        if not self._own_sockets:
            self._http.stop()
        await asyncio.sleep(drain_delay_seconds)
        # Whoever connected by now, but was not accepted, would find the connection reset.
        for listener in self._own_sockets:
            self._http.accept_waiting(listener)
        self._http.stop()
        deadline = clock() + drain_seconds
        self._http.close_unused_streams()
        while self._http.connections and clock() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            self._http.close_unused_streams()
        await self._http.close_all_connections()
        self._http.watch.cancel()

    def _begin(self, sockets: Sequence[socket.socket]) -> None:
        self._http.add_sockets(sockets)
        self._http.close_idle_streams()


class _LimitedServer(HTTPServer):
    """Tornado's server, with limits to its connections, and to their idle time.

    Tornado's own limit of idle time costs a timer and two futures for each request.
    """

    connections: Connections
    idle_timeout_seconds: float
    first_request_seconds: float
    certificate: Certificate | None
    watch: asyncio.TimerHandle

    def close_idle_streams(self) -> None:
        """Close those that have waited too long, for a request or for whom to take an answer."""
        now = time.monotonic()
        since = now - self.idle_timeout_seconds
        for stream in self.connections:
            stream.close_if_idle(since=since, first_since=now - self.first_request_seconds)
            stream.close_if_stuck(since=since)
        period = min(_MOST_PERIOD_SECONDS, self.first_request_seconds / 4)
        self.watch = asyncio.get_running_loop().call_later(period, self.close_idle_streams)

    def close_unused_streams(self) -> None:
        """Close those that wait for a request of which nothing has come."""
        accepted_before = time.monotonic() - _FIRST_REQUEST_SECONDS
        for stream in self.connections:
            stream.close_if_unused(accepted_before=accepted_before)

    def accept_waiting(self, listener: socket.socket) -> None:
        """Accept everybody who waits at a listening socket."""
        with suppress(OSError):  # BlockingIOError: nobody is left
            while True:
                self._handle_connection(*listener.accept())

    def _handle_connection(self, connection: socket.socket, address: tuple[object, ...]) -> None:
        ip = str(address[0]) if connection.family in _OF_NETWORKS else None
        if not self.connections.make_room(ip):
            connection.close()
            return
        try:
            stream = self._stream(connection)
        except OSError:  # who connected is gone already
            connection.close()
            return
        self.connections.add(stream, ip)
        stream.when_closed = self.connections.remove
        self.handle_stream(stream, address)

    def _stream(self, connection: socket.socket) -> Stream:
        if self.certificate is None:
            return Stream(connection)
        return TlsStream(self.certificate.wrap(connection))


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
