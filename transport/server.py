"""The HTTP server: its limits, and a stop that loses no request."""

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from tornado.netutil import bind_sockets

from settings.model import LimitSettings
from transport.application import ServedApplication
from transport.base_connection import Timeouts
from transport.certificate import Certificate
from transport.connection import Connection
from transport.connection_limits import OpenConnections
from transport.open_files import possible_connections
from transport.tls import TlsTransport

_POLL_SECONDS = 0.02
# How many connections may wait to be accepted, as far as the system allows.
_BACKLOG = 4096
# The connections accepted last have this long to send a request, including the TLS handshake.
_FIRST_REQUEST_SECONDS = 0.5
# The maximum time between two searches for overdue connections.
_MAX_PERIOD_SECONDS = 1.0


class Server:
    """An HTTP server for one application; over HTTPS if it has a certificate."""

    def __init__(
        self,
        application: ServedApplication,
        limits: LimitSettings,
        certificate: Certificate | None = None,
    ) -> None:
        self._application = application
        self._certificate = certificate
        self._connections = OpenConnections(
            max_total=possible_connections(limits.max_connections),
            max_per_network=limits.network_connections,
            is_trusted=application.addresses.trusts,
        )
        self._timeouts = Timeouts(
            first_request=min(limits.first_request_seconds, limits.idle_timeout_seconds),
            idle=limits.idle_timeout_seconds,
            body=limits.body_timeout_seconds,
        )
        self._listeners: list[asyncio.Server] = []
        self._own_sockets: Sequence[socket.socket] = ()

    async def listen(self, host: str, port: int, *, reuse_port: bool = False) -> int:
        """Listen, and return the port, which is a free one if ``port`` is 0.

        With ``reuse_port``, several processes can listen on one port, each at a socket that it has
        bound itself. Raises OSError if that is not possible.
        """
        sockets = bind_sockets(port, host, backlog=_BACKLOG, reuse_port=reuse_port)
        self._own_sockets = sockets
        await self.listen_at(sockets)
        return int(sockets[0].getsockname()[1])

    async def listen_at(self, sockets: Sequence[socket.socket]) -> None:
        """Listen at sockets; those of a parent process stay open when this one ends."""
        loop = asyncio.get_running_loop()
        for listener in sockets:
            listening = await loop.create_server(
                self._new_connection, sock=listener, backlog=_BACKLOG
            )
            self._listeners.append(listening)
        self._close_overdue()

    async def drain(self, *, drain_delay_seconds: float, drain_seconds: float) -> None:
        """Stop without losing a request.

        For ``drain_delay_seconds`` the server works as before, while /health/ready asks load
        balancers to use another one. Then it accepts no further connection, and requests that run,
        or of which a part has arrived, have ``drain_seconds`` to finish. From the start, responses
        contain Connection: close, and at sockets of a parent process no connection is accepted: it
        waits there for the next process that listens.
        """
        clock = asyncio.get_running_loop().time
        self._application.draining = True
        if not self._own_sockets:
            self._stop_listening()
        await asyncio.sleep(drain_delay_seconds)
        # A connection that is established, but not accepted, would be reset.
        for listener in self._own_sockets:
            await self._accept_waiting(listener)
        self._stop_listening()
        deadline = clock() + drain_seconds
        self._close_unused()
        while self._connections and clock() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            self._close_unused()
        for connection in self._connections:
            connection.transport.abort()
        await asyncio.sleep(0)  # the event loop reports the disconnects in its next iteration
        self._watch.cancel()

    def _new_connection(self) -> asyncio.BufferedProtocol:
        """Return the protocol of a new connection."""
        if self._certificate is None:
            return Connection(self._application, self._connections, protocol="http")
        connection = Connection(self._application, self._connections, protocol="https")
        return TlsTransport(self._certificate.context, connection)

    async def _accept_waiting(self, listener: socket.socket) -> None:
        """Accept the connections that wait at a listening socket, but not an endless stream."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # BlockingIOError: none is left
            for _ in range(_BACKLOG):
                # A client that disconnects while it waits must not keep others waiting.
                with suppress(ConnectionError):
                    accepted, _ = listener.accept()
                    await loop.connect_accepted_socket(self._new_connection, accepted)

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _close_overdue(self) -> None:
        """Close the connections that have waited too long to receive or to send; repeat."""
        period = min(_MAX_PERIOD_SECONDS, min(self._timeouts) / 4)
        # First: a connection whose check fails must not end those of later rounds.
        self._watch = asyncio.get_running_loop().call_later(period, self._close_overdue)
        now = time.monotonic()
        for connection in self._connections:
            connection.close_if_overdue(self._timeouts, now)

    def _close_unused(self) -> None:
        """Close the connections that have received no part of a next request."""
        accepted_before = time.monotonic() - _FIRST_REQUEST_SECONDS
        for connection in self._connections:
            connection.close_if_unused(accepted_before=accepted_before)
