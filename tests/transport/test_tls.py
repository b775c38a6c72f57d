"""TLS without a socket: how it ends."""

import ssl
from collections.abc import Callable
from contextlib import suppress
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
from tests.harness.raw_http import raw_request
from transport.certificate import Certificate
from transport.tls import TlsTransport


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
