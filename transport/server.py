"""The HTTP server: its limits, and a stop that loses no request."""

import asyncio
import resource
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from settings.model import LimitSettings
from transport.application import ServedApplication
from transport.certificate import Certificate
from transport.connection import Stream, TlsStream
from transport.connection_limits import OpenConnections

MAX_HEADER_BYTES = 16 * 1024
# transport.body limits bodies, with a problem document.
_NO_LIMIT = 2**62
# Open files other than clients' connections: those of the database, the log and the event loop.
_OTHER_FILES = 100
_POLL_SECONDS = 0.02
# How many connections may wait to be accepted, as far as the system allows.
_BACKLOG = 4096
# The connections accepted last have this long to send a request, including the TLS handshake.
_FIRST_REQUEST_SECONDS = 0.5
_NETWORK_FAMILIES = (socket.AF_INET, socket.AF_INET6)
# How long it is at most between two searches for idle connections.
_MAX_PERIOD_SECONDS = 1.0


def prepare_process(limits: LimitSettings) -> None:
    """Raise the process's limit of open files for ``limits.max_connections``, if it is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = limits.max_connections + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        files = min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


class Server:
    """An HTTP server for one application; over HTTPS if it has a certificate."""

    def __init__(
        self,
        application: ServedApplication,
        limits: LimitSettings,
        certificate: Certificate | None = None,
    ) -> None:
        self._application = application
        self._http = _LimitedServer(
            application,
            max_header_size=MAX_HEADER_BYTES,
            max_body_size=_NO_LIMIT,
            body_timeout=limits.body_timeout_seconds,
        )
        self._http.conn_params.header_timeout = None
        self._http.connections = OpenConnections(
            max_total=_possible_connections(limits.max_connections),
            max_per_network=limits.network_connections,
            is_trusted=application.addresses.trusts,
        )
        self._http.idle_timeout_seconds = limits.idle_timeout_seconds
        self._http.first_request_seconds = min(
            limits.first_request_seconds, limits.idle_timeout_seconds
        )
        self._http.certificate = certificate

    def listen(self, host: str, port: int) -> int:
        """Listen, and return the port, which is a free one if ``port`` is 0.

        Raises OSError if that is not possible.
        """
        self._own_sockets = sockets = bind_sockets(port, host, backlog=_BACKLOG)
        self._start(sockets)
        return int(sockets[0].getsockname()[1])

    def listen_at(self, sockets: Sequence[socket.socket]) -> None:
        """Listen at sockets of a parent process, which keeps them open when this one ends."""
        self._own_sockets = []
        self._start(sockets)

    async def drain(self, *, drain_delay_seconds: float, drain_seconds: float) -> None:
        """Stop without losing a request.

        For ``drain_delay_seconds`` the server works as before, while /health/ready asks load
        balancers to use another one. Then it accepts no further connection, and requests that run,
        or of which a part has arrived, have ``drain_seconds`` to finish. Responses carry
        Connection: close all the while. At sockets of a parent process no connection is accepted
        from the start: it waits there for the next process that listens.
        """
        clock = asyncio.get_running_loop().time
        self._application.draining = True
        if not self._own_sockets:
            self._http.stop()
        await asyncio.sleep(drain_delay_seconds)
        # A connection that is established, but not accepted, would be reset.
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

    def _start(self, sockets: Sequence[socket.socket]) -> None:
        self._http.add_sockets(sockets)
        self._http.close_idle_streams()


class _LimitedServer(HTTPServer):
    """Tornado's server, with limits to its connections and to their idle time.

    Tornado's own idle timeout costs a timer and two futures for each request.
    """

    connections: OpenConnections
    idle_timeout_seconds: float
    first_request_seconds: float
    certificate: Certificate | None
    watch: asyncio.TimerHandle

    def close_idle_streams(self) -> None:
        """Close the connections that have waited too long to receive or to send; repeat."""
        now = time.monotonic()
        since = now - self.idle_timeout_seconds
        for stream in self.connections:
            stream.close_if_idle(since=since, first_since=now - self.first_request_seconds)
            stream.close_if_stuck(since=since)
        period = min(_MAX_PERIOD_SECONDS, self.first_request_seconds / 4)
        self.watch = asyncio.get_running_loop().call_later(period, self.close_idle_streams)

    def close_unused_streams(self) -> None:
        """Close the connections that have received no part of a next request."""
        accepted_before = time.monotonic() - _FIRST_REQUEST_SECONDS
        for stream in self.connections:
            stream.close_if_unused(accepted_before=accepted_before)

    def accept_waiting(self, listener: socket.socket) -> None:
        """Accept every connection that waits at a listening socket."""
        with suppress(OSError):  # BlockingIOError: none is left
            while True:
                self._handle_connection(*listener.accept())

    def _handle_connection(self, connection: socket.socket, address: tuple[object, ...]) -> None:
        ip = str(address[0]) if connection.family in _NETWORK_FAMILIES else None
        if not self.connections.make_room(ip):
            connection.close()
            return
        try:
            stream = self._stream(connection)
        except OSError:  # the client has disconnected
            connection.close()
            return
        self.connections.add(stream, ip)
        stream.on_close = self.connections.remove
        self.handle_stream(stream, address)

    def _stream(self, connection: socket.socket) -> Stream:
        if self.certificate is None:
            return Stream(connection)
        return TlsStream(self.certificate.wrap(connection))


def _possible_connections(wanted: int) -> int:
    """Return how many connections the limit of open files allows, at most ``wanted``.

    Without a free file every accept() fails, and so does everything else.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, soft - _OTHER_FILES))
