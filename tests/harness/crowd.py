"""Many clients of one server at once, over plain sockets or TLS, and another client beside them."""

import re
import socket
import ssl
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import psutil

from tests.harness.processes import ServerProcess

_SECONDS = 60
_KIBIBYTE = 1024
_PAUSE_SECONDS = 0.005
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")


@dataclass(frozen=True, slots=True)
class CrowdedServer:
    """A server process, and how its clients connect."""

    server: ServerProcess
    tls: ssl.SSLContext | None

    def connect(self, *, receive_bytes: int | None = None) -> socket.socket:
        """Return a connection, with a receive buffer of a size if one is given."""
        client = socket.socket()
        client.settimeout(_SECONDS)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_bytes is not None:
            # Before the connection is open: the size of its window depends on it.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        address = urlsplit(self.server.url)
        client.connect((address.hostname, address.port))
        if self.tls is None:
            return client
        return self.tls.wrap_socket(client, server_hostname="localhost")

    def resident_kib(self) -> float:
        """Return the memory of the server process."""
        return float(psutil.Process(self.server.process.pid).memory_info().rss / _KIBIBYTE)


def receive(client: socket.socket) -> tuple[bytes, bytes]:
    """Return the head and the body of one response; raise EOFError if it is cut."""
    received = bytearray()
    while _HEAD_END not in received:
        received += _receive_part(client)
    head, _, rest = bytes(received).partition(_HEAD_END)
    found = _LENGTH.search(head + b"\r\n")
    assert found is not None, head
    body = bytearray(rest)
    while len(body) < int(found[1]):
        body += _receive_part(client)
    return head, bytes(body)


def _receive_part(client: socket.socket) -> bytes:
    data = client.recv(65536)
    if not data:
        raise EOFError("The server closed the connection within a response.")
    return data


def read_to_end(client: socket.socket) -> bytes:
    """Return what the server sends until it closes or resets the connection."""
    received = bytearray()
    try:
        while data := client.recv(65536):
            received += data
    except ConnectionError:
        pass
    return bytes(received)


class SlowReader:
    """A client that reads its responses a part at a time."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.received = bytearray()

    def read(self, size: int) -> None:
        """Read some bytes, at most ``size``."""
        data = self.client.recv(size)
        assert data, f"cut after {len(self.received)} bytes"
        self.received += data

    def read_until(self, size: int) -> None:
        """Read until ``size`` bytes have arrived in all."""
        while len(self.received) < size:
            self.read(65536)


class RepeatingClient:
    """Sends a request again and again over one connection, and records the times of responses.

    It ends after the block, or after a response with ``Connection: close``.
    """

    def __init__(self, crowded: CrowdedServer, request: bytes) -> None:
        self.seconds: list[float] = []
        self.statuses: Counter[str] = Counter()
        self._crowded = crowded
        self._request = request
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.join()

    def join(self) -> None:
        """Wait until the client has ended."""
        self._thread.join(_SECONDS)
        assert not self._thread.is_alive()

    def wait_for(self, count: int) -> None:
        """Wait for that many more responses."""
        wanted = len(self.seconds) + count
        deadline = time.monotonic() + _SECONDS
        while len(self.seconds) < wanted:
            assert time.monotonic() < deadline, self.statuses
            time.sleep(_PAUSE_SECONDS)

    @property
    def p99_ms(self) -> float:
        """Return the 99th percentile of the times, in milliseconds."""
        return statistics.quantiles(self.seconds, n=100)[-1] * 1000

    def _run(self) -> None:
        with self._crowded.connect() as client:
            while not self._stopping.wait(_PAUSE_SECONDS):
                started = time.perf_counter()
                client.sendall(self._request)
                try:
                    head, _ = receive(client)
                except (EOFError, OSError) as error:
                    self.statuses[repr(error)] += 1
                    return
                self.seconds.append(time.perf_counter() - started)
                self.statuses[head.split()[1].decode()] += 1
                if b"\r\nConnection: close" in head:
                    return


def once_a_second(step: Callable[[int], None], steps: int) -> None:
    """Do steps at intervals of a second."""
    started = time.monotonic()
    for number in range(steps):
        time.sleep(max(0.0, started + number - time.monotonic()))
        step(number)
