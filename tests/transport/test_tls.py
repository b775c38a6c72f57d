"""TLS: how it ends, and how much of a response is encrypted at once."""

import asyncio
import socket
import ssl
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from ssl import MemoryBIO, SSLWantReadError

import pytest

from tests.harness.certificates import make_certificate
from tests.harness.memory_transport import (
    EchoApplication,
    MemoryTransport,
    new_connection,
    until_quiet,
)
from tests.harness.programs import get_program
from tests.harness.raw_http import raw_request
from transport.base_connection import BaseConnection
from transport.certificate import Certificate
from transport.connection_limits import OpenConnections
from transport.tls import TlsTransport

pytestmark = pytest.mark.needs("openssl")


class Client:
    """A TLS client whose records go to a TlsTransport in memory."""

    def __init__(self, files: tuple[Path, Path]) -> None:
        self.application = EchoApplication()
        connection, _ = new_connection(self.application)
        self.below = MemoryTransport()
        self.server = TlsTransport(Certificate(*files).context, connection)
        self.server.connection_made(self.below)
        self._incoming, self._outgoing = MemoryBIO(), MemoryBIO()
        context = ssl.create_default_context(cafile=str(files[0]))
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        for _ in range(3):
            with suppress(SSLWantReadError):
                self.tls.do_handshake()
            self.exchange()

    def exchange(self) -> None:
        """Send what is pending, and receive what the server sends."""
        self.server.data_received(self._outgoing.read())
        self._incoming.write(bytes(self.below.sent))
        self.below.sent.clear()

    def read(self) -> bytes:
        """Return some of what has arrived, or nothing."""
        try:
            return self.tls.read(65536)
        except SSLWantReadError:
            return b""

    def has_received_the_end(self) -> bool:
        """Return whether the server has sent close_notify."""
        self._incoming.write(bytes(self.below.sent))
        try:
            return self.tls.read() == b""
        except SSLWantReadError:
            return False


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def send_alert(client: Client) -> None:
    with suppress(SSLWantReadError):
        client.tls.unwrap()
    client.exchange()


ENDS: dict[str, Callable[[Client], object]] = {
    "the client's alert": send_alert,
    "the end of the client's bytes": lambda client: client.server.eof_received(),
    "the server": lambda client: client.server.close(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
@pytest.mark.gen_test
async def test_the_end_of_tls_is_marked_by_an_alert(
    files: tuple[Path, Path], end: Callable[[Client], object]
) -> None:
    client = Client(files)
    assert not client.has_received_the_end()
    end(client)
    assert client.below.is_closing()
    if end is send_alert:
        client.tls.unwrap()  # raises unless close_notify has arrived
    else:
        assert client.has_received_the_end()


@pytest.mark.gen_test
async def test_after_the_last_response_what_arrives_is_dropped_until_the_client_ends(
    files: tuple[Path, Path],
) -> None:
    client = Client(files)
    client.tls.write(raw_request("GET", "/", close=True))
    client.exchange()
    await until_quiet(client.application)
    client.exchange()
    assert client.tls.read().startswith(b"HTTP/1.1 200 ")
    assert client.tls.read() == b""
    assert client.below.has_ended
    for data in (b"x", b"\x17\x03\x03\x00\x02", b"x" * 1_000):
        client.server.data_received(data)
        assert not client.below.is_closing()
    client.server.eof_received()
    assert client.below.is_closing()
    assert client.below.sent == b""


@pytest.mark.gen_test
async def test_records_that_arrive_together_with_the_rejected_ones_are_dropped(
    files: tuple[Path, Path],
) -> None:
    client = Client(files)
    client.tls.write(b"\0nothing of HTTP\r\n\r\n")
    client.tls.write(b"x" * 1_000)
    client.exchange()
    assert client.tls.read().startswith(b"HTTP/1.1 400 ")
    assert client.below.has_ended
    assert not client.below.is_closing()


class SendingConnection(BaseConnection):
    """A connection that only sends, once it has received something."""

    may_send = False

    def data_received(self, data: "bytes | memoryview[int]") -> None:  # noqa: ARG002
        """Ignore what was received."""
        self.may_send = True


def end_and_close(connection: BaseConnection, _theirs: socket.socket) -> None:
    connection.transport.write_eof()
    connection.transport.close()


RESPONSE = bytes(range(256)) * 32_000
MAX_ENCRYPTED = 256 * 1024
MAX_PART = 20 * 1024
Then = Callable[[BaseConnection, socket.socket], object]
THEN: dict[str, Then] = {
    "the server ends": lambda connection, _: connection.transport.write_eof(),
    "the server closes": lambda connection, _: connection.transport.close(),
    "the server ends and closes": end_and_close,
    "the client ends": lambda _, theirs: socket.socket.shutdown(theirs, socket.SHUT_WR),
}


def greeting(theirs: socket.socket, certificate: Path) -> ssl.SSLSocket:
    """Begin TLS at a client's socket, and send a byte."""
    theirs.settimeout(20)
    context = ssl.create_default_context(cafile=str(certificate))
    client = context.wrap_socket(theirs, server_hostname="localhost", suppress_ragged_eofs=False)
    client.sendall(b"x")
    return client


def read_to_alert(client: ssl.SSLSocket) -> bytes:
    """Return what the server sends until the alert that marks the end."""
    received = bytearray()
    while data := client.recv(65536):
        received += data
    return bytes(received)


@pytest.mark.parametrize("then", THEN.values(), ids=THEN.keys())
@pytest.mark.gen_test
async def test_a_large_response_is_encrypted_while_the_client_reads_it_and_is_not_cut(
    files: tuple[Path, Path], then: Then
) -> None:
    connections = OpenConnections(max_total=9, max_per_network=0, is_trusted=lambda _: False)
    connection = SendingConnection(connections)
    ours, theirs = socket.socketpair()
    secure = TlsTransport(Certificate(*files).context, connection)
    loop = asyncio.get_running_loop()
    below, _ = await loop.connect_accepted_socket(lambda: secure, ours)
    client = await asyncio.to_thread(greeting, theirs, files[0])
    while not connection.may_send:
        await asyncio.sleep(0)
    for part in (RESPONSE, b"", b"end"):
        connection.transport.write(part)
    then(connection, client)
    for _ in range(20):
        await asyncio.sleep(0)
    assert below.get_write_buffer_size() < MAX_ENCRYPTED
    assert connection.transport.get_write_buffer_size() > len(RESPONSE) // 2
    assert await asyncio.to_thread(read_to_alert, client) == RESPONSE + b"end"
    client.close()
    while not connection.is_lost:
        await asyncio.sleep(0)


@pytest.mark.gen_test
async def test_a_turn_of_the_event_loop_encrypts_a_part_and_the_next_request_waits_for_the_last(
    files: tuple[Path, Path],
) -> None:
    client = Client(files)
    client.server.write(RESPONSE)
    client.tls.write(raw_request("GET", "/next"))
    client.exchange()
    parts = []
    while client.server.get_write_buffer_size():
        assert client.application.running == 0
        await asyncio.sleep(0)
        parts.append(bytes(client.below.sent))
        client.exchange()
    assert max(map(len, parts)) < MAX_PART
    await until_quiet(client.application)
    client.exchange()
    received = b"".join(iter(client.read, b""))
    assert received.startswith(RESPONSE + b"HTTP/1.1 200 ")


@pytest.mark.gen_test
async def test_a_response_that_is_not_read_is_freed_when_the_client_disconnects(
    files: tuple[Path, Path],
) -> None:
    client = Client(files)
    client.server.pause_writing()
    client.server.write(RESPONSE)
    assert client.server.get_write_buffer_size() == len(RESPONSE)
    client.server.connection_lost(None)
    assert client.server.get_write_buffer_size() == 0


@asynccontextmanager
async def listening(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Serve requests over TLS during the block; yield the port."""
    application = EchoApplication()
    server = await asyncio.get_running_loop().create_server(
        lambda: TlsTransport(context, new_connection(application)[0]), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.gen_test
async def test_a_client_that_repeats_the_handshake_gets_an_alert_and_costs_no_second_one(
    files: tuple[Path, Path],
) -> None:
    context = Certificate(*files).context
    async with listening(context) as port:
        options = ("-connect", f"127.0.0.1:{port}", "-tls1_2", "-msg")
        client = await asyncio.create_subprocess_exec(
            get_program("openssl"), "s_client", *options, stdin=PIPE, stdout=PIPE, stderr=STDOUT
        )
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(b"R\n")  # renegotiates
        async with asyncio.timeout(20):
            output = (await client.stdout.read()).decode()
            await client.wait()
    sent = output.partition("RENEGOTIATING")[2]
    assert ">>> TLS 1.2, Handshake [length" in sent
    assert "<<< TLS 1.2, Alert [length 0002], warning no_renegotiation" in sent
    # No key exchange and no signature: those are what a handshake costs.
    assert "<<< TLS 1.2, Handshake" not in sent
    assert context.session_stats()["accept_good"] == 1
