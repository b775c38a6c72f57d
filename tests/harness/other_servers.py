"""Servers that are none of ours: each says the same bytes to whoever asks."""

import re
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

HEAD_END = b"\r\n\r\n"


@dataclass
class OtherServer:
    """Where such a server listens, and what it was sent."""

    url: str
    heads: list[str] = field(default_factory=list)

    def wait_for(self, requests: int) -> None:
        """Wait until so many requests have come."""
        deadline = time.monotonic() + 20
        while len(self.heads) < requests:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def http_answer(
    status: int, body: bytes = b"", *fields: str, media_type: str = "application/json"
) -> bytes:
    """Return an answer as it goes over the wire."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def receive(connection: socket.socket) -> tuple[str, bytes]:
    """Return the head and the body of a request."""
    received = b""
    while HEAD_END not in received and (data := connection.recv(65536)):
        received += data
    head, _, body = received.partition(HEAD_END)
    length = int((re.findall(rb"Content-Length: (\d+)", head, re.IGNORECASE) or [0])[0])
    while len(body) < length and (data := connection.recv(65536)):
        body += data
    return head.decode("latin-1"), body


@contextmanager
def answering(answer: bytes | None, *, echoes: bool = False) -> Iterator[OtherServer]:
    """Run a server that gives one answer; without one it says nothing. It may say what it got."""
    is_over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head, body = receive(self.request)
            other.heads.append(head)
            if answer is None:
                is_over.wait(20)
            elif echoes:
                # As a line that is no header field, which whoever reads it quotes.
                authorization = head.partition("Authorization: ")[2].partition("\r\n")[0]
                self.request.sendall(answer + authorization.encode() + body + HEAD_END)
            else:
                self.request.sendall(answer)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Handler) as server:
        other = OtherServer(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield other
        finally:
            is_over.set()
            server.shutdown()
            thread.join()
