"""TLS without a socket: how it ends."""

import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from ssl import MemoryBIO, SSLWantReadError

import pytest

from tests.harness.certificates import make_certificate
from tests.harness.memory_transport import EchoApplication, MemoryTransport, new_connection
from transport.certificate import Certificate
from transport.tls import TlsTransport


class Client:
    """A TLS client whose records go to a TlsTransport in memory."""

    def __init__(self, files: tuple[Path, Path]) -> None:
        connection, _ = new_connection(EchoApplication())
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
