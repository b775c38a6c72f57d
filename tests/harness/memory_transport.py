"""A connection without a socket, for what depends on nothing but the bytes that arrive."""

import asyncio
import json
from collections.abc import Sequence

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.web import stream_request_body

from transport.application import ServedApplication
from transport.client_address import ClientAddresses
from transport.connection import Connection
from transport.connection_limits import OpenConnections
from transport.response import Fields, ResponseHandler

_TURNS = 100
# The next request of a connection begins one turn after a response.
_QUIET_TURNS = 3


@stream_request_body
class EchoHandler(ResponseHandler):
    """Responds with what it received; with the status of the problem of a rejected head."""

    SUPPORTED_METHODS = (*ResponseHandler.SUPPORTED_METHODS, "BREW")
    request_id = "echo"
    cross_origin_fields: Fields = ()
    closes_connection = False

    def prepare(self) -> None:
        request, problem = self.request, self.exchange.problem
        document = {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "fields": list(request.headers.get_all()),
            "body": request.body.decode("latin-1"),
            "is_too_large": self.exchange.is_body_too_large,
        }
        self.respond(problem.status if problem else 200, (), json.dumps(document).encode())

    def write_error(self, status_code: int, **_: object) -> None:
        """Respond with the status alone."""
        self.respond(status_code, ())

    def on_finish(self) -> None:
        self.application.running -= 1  # type: ignore[attr-defined]


class EchoApplication(ServedApplication):
    """An application with one handler for every request."""

    def __init__(self, max_body_bytes: int = 1_000) -> None:
        super().__init__(log_function=lambda _: None)
        self.addresses = ClientAddresses(())
        self.max_body_bytes = max_body_bytes
        self.running = 0
        self.draining = False

    def delegate_of(self, request: HTTPServerRequest) -> HTTPMessageDelegate:
        """Return the delegate that runs the handler of a request."""
        return self.get_handler_delegate(request, EchoHandler)


class MemoryTransport(asyncio.Transport):
    """Collects what is sent; the client reads it at once, except the last ``unsent`` bytes."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 50_000)})
        self.sent = bytearray()
        self.has_ended = False
        self.unsent = 0
        self._is_reading = True
        self._is_closing = False

    def write(self, data: "bytes | bytearray | memoryview[int]") -> None:
        self.sent += data

    def write_eof(self) -> None:
        """End what is sent; the client may send more."""
        self.has_ended = True

    def close(self) -> None:
        self.has_ended = self._is_closing = True

    abort = close

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True

    def is_reading(self) -> bool:
        return self._is_reading

    def get_write_buffer_size(self) -> int:
        return self.unsent


def new_connection(application: ServedApplication) -> tuple[Connection, MemoryTransport]:
    """Return a connection of an application, and the transport that it writes to."""
    links = OpenConnections(max_total=9, max_per_network=0, is_trusted=lambda _: False)
    connection = Connection(application, links, protocol="http")
    transport = MemoryTransport()
    connection.connection_made(transport)
    return connection, transport


async def until_quiet(application: ServedApplication) -> None:
    """Wait until no request runs, and none that has arrived is about to begin."""
    quiet_turns = 0
    for _ in range(_TURNS):
        await asyncio.sleep(0)
        quiet_turns = 0 if application.running else quiet_turns + 1
        if quiet_turns == _QUIET_TURNS:
            break


async def answer_in_parts(
    application: ServedApplication, parts: Sequence[bytes]
) -> tuple[bytes, bool]:
    """Send bytes in parts to a new connection; return what it sends, and whether it ends."""
    connection, transport = new_connection(application)
    for part in parts:
        if transport.is_closing():
            break
        connection.data_received(part)
    await until_quiet(application)
    connection.connection_lost(None)
    return bytes(transport.sent), transport.has_ended
