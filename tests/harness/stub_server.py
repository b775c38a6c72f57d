"""A server that sends one fixed response to every request."""

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from tests.harness.waiting import wait_until

HEADER_END = b"\r\n\r\n"


@dataclass
class StubServer:
    """The URL of a stub server, and the request headers that it received."""

    url: str
    requests: list[str] = field(default_factory=list)

    def wait_for(self, count: int) -> None:
        """Wait until the server has received this many requests."""
        wait_until(lambda: len(self.requests) >= count)


def http_response(
    status: int, body: bytes = b"", *headers: str, media_type: str = "application/json"
) -> bytes:
    """Return a response as bytes on the wire."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def receive(connection: socket.socket) -> tuple[str, bytes]:
    """Return the headers and the body of a request."""
    received = b""
    while HEADER_END not in received and (data := connection.recv(65536)):
        received += data
    headers, _, body = received.partition(HEADER_END)
    length = int((re.findall(rb"Content-Length: (\d+)", headers, re.IGNORECASE) or [0])[0])
    while len(body) < length and (data := connection.recv(65536)):
        body += data
    return headers.decode("latin-1"), body


@contextmanager
def stub_server(response: bytes | None, *, echoes: bool = False) -> Iterator[StubServer]:
    """Run a server that sends a fixed response; None leaves each request without a response.

    With ``echoes``, the response continues with the Authorization value and the body received.
    """
    is_stopped = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            headers, body = receive(self.request)
            stub.requests.append(headers)
            if response is None:
                is_stopped.wait(20)
            elif echoes:
                # As a line that is not a valid header, which HTTP libraries quote in errors.
                authorization = headers.partition("Authorization: ")[2].partition("\r\n")[0]
                self.request.sendall(response + authorization.encode() + body + HEADER_END)
            else:
                self.request.sendall(response)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Handler) as server:
        stub = StubServer(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield stub
        finally:
            is_stopped.set()
            server.shutdown()
            thread.join()
