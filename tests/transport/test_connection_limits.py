"""Which connection is closed for a new one, and how rarely all are searched."""

import socket
from collections.abc import Iterator

import pytest
from tornado.ioloop import IOLoop

from tests.harness.clock import Clock
from transport.connection import Stream
from transport.connection_limits import OpenConnections

PROXY = "10.0.0.1"


class IdleStream(Stream):
    """A connection that is idle since a time that a test sets, and counts how often it is read."""

    reads = 0

    def __init__(self, since: float | None) -> None:
        ours, self.theirs = socket.socketpair()
        super().__init__(ours)
        self.since = since

    def set_nodelay(self, value: bool) -> None:  # noqa: FBT001 - Tornado's signature
        """Do nothing: a pair of sockets has no such option."""

    @property
    def idle_since(self) -> float | None:
        type(self).reads += 1
        return self.since


class Clients:
    """Clients of a server that allows few connections."""

    def __init__(self, max_total: int, max_per_network: int) -> None:
        self.clock = Clock()
        self.connections = OpenConnections(
            max_total=max_total,
            max_per_network=max_per_network,
            is_trusted=lambda address: address == PROXY,
            clock=self.clock,
        )
        self.all: list[IdleStream] = []

    def connect(self, address: str | None, since: float | None = 0.0) -> IdleStream | None:
        """Connect; return the connection, None if it is refused."""
        if not self.connections.make_room(address):
            return None
        stream = IdleStream(since)
        self.all.append(stream)
        self.connections.add(stream, address)
        stream.on_close = self.connections.remove
        return stream

    def close(self) -> None:
        """Close all connections."""
        for stream in self.all:
            stream.close()
            stream.theirs.close()

    def connect_all(self, addresses: Iterator[str], since: float | None = 0.0) -> list[IdleStream]:
        streams = [self.connect(address, since) for address in addresses]
        return [stream for stream in streams if stream is not None]


@pytest.fixture
def clients(io_loop: IOLoop) -> Iterator[Clients]:  # noqa: ARG001 - streams need a loop
    clients = Clients(max_total=100, max_per_network=4)
    yield clients
    clients.close()


def test_in_a_full_network_its_longest_idle_connection_is_closed(clients: Clients) -> None:
    other = clients.connect("192.0.2.9", since=0.5)
    own = [clients.connect("192.0.2.1", since=since) for since in (3.0, None, 1.0, 2.0)]
    assert clients.connect("::ffff:192.0.2.1", since=9.0) is not None
    assert [stream.closed() for stream in own if stream] == [False, False, True, False]
    assert other is not None
    assert not other.closed()
    assert len(clients.connections) == 5


def test_a_full_network_without_idle_connections_accepts_none(clients: Clients) -> None:
    busy = [clients.connect("192.0.2.1", since=None) for _ in range(4)]
    assert clients.connect("192.0.2.1") is None
    assert clients.connect("192.0.2.2") is not None
    assert busy[0] is not None
    busy[0].close()
    assert clients.connect("192.0.2.1") is not None


def test_an_ipv6_network_has_one_share_and_a_site_has_four(clients: Clients) -> None:
    first = clients.connect_all(f"2001:db8::{number}" for number in range(1, 5))
    assert clients.connect("2001:db8::ffff", since=1.0) is not None
    assert [stream.closed() for stream in first].count(True) == 1
    networks = (f"2001:db8:0:{number:x}::1" for number in range(1, 17))
    streams = clients.connect_all(networks, since=2.0)
    assert len(streams) == 16
    assert len(clients.connections) == 16
    assert clients.connect("2001:db8:1::1") is not None
    assert len(clients.connections) == 17


def test_a_trusted_proxy_and_a_unix_socket_have_no_share(clients: Clients) -> None:
    for address in (PROXY, None):
        assert all(clients.connect(address) for _ in range(50))
    assert len(clients.connections) == 100
    assert not any(stream.closed() for stream in clients.all)


def test_on_a_full_server_the_longest_idle_connection_is_closed(clients: Clients) -> None:
    streams = clients.connect_all((f"192.0.2.{number}" for number in range(100)), since=1.0)
    streams[70].since = 0.5
    assert clients.connect("198.51.100.1") is not None
    assert streams[70].closed()
    assert len(clients.connections) == 100


def test_a_connection_served_since_the_last_search_is_not_closed(clients: Clients) -> None:
    streams = [clients.connect("192.0.2.1", since=since) for since in (1.0, 2.0, 3.0, 4.0)]
    clients.connect("192.0.2.1", since=5.0)
    assert streams[1] is not None
    streams[1].since = 6.0
    clients.connect("192.0.2.1", since=7.0)
    assert [stream.closed() for stream in streams if stream] == [True, False, True, False]


def test_a_connection_with_unread_bytes_is_not_closed(clients: Clients) -> None:
    streams = [clients.connect("192.0.2.1", since=since) for since in (1.0, 2.0, 3.0, 4.0)]
    assert streams[0] is not None
    streams[0].theirs.sendall(b"G")
    clients.connect("192.0.2.1", since=5.0)
    assert [stream.closed() for stream in streams if stream] == [False, True, False, False]


def test_one_search_serves_many_connections_and_a_fruitless_one_is_not_repeated_at_once(
    clients: Clients,
) -> None:
    clients.connect_all((f"192.0.2.{number}" for number in range(100)), since=1.0)
    IdleStream.reads = 0
    for number in range(60):
        assert clients.connect(f"198.51.100.{number}", since=2.0)
    assert IdleStream.reads == 100 + 60
    for stream in clients.all:
        stream.since = None
    assert clients.connect("203.0.113.1") is None
    IdleStream.reads = 0
    for _ in range(60):
        assert clients.connect("203.0.113.1") is None
    assert IdleStream.reads == 0
    clients.clock.advance(1)
    clients.all[-1].since = 3.0
    assert clients.connect("203.0.113.1")


def test_however_many_clients_trickle_bytes_an_idle_connection_makes_room(clients: Clients) -> None:
    trickling = clients.connect_all((f"192.0.2.{number}" for number in range(90)), since=1.0)
    idle = clients.connect_all((f"198.51.100.{number}" for number in range(10)), since=2.0)
    for stream in trickling:
        stream.theirs.sendall(b"G")
    for number in range(10):
        assert clients.connect(f"203.0.113.{number}", since=None)
    assert all(stream.closed() for stream in idle)
    assert not any(stream.closed() for stream in trickling)


def test_clients_that_trickle_bytes_do_not_cause_a_search_for_each_connection(
    clients: Clients,
) -> None:
    clients.connect_all((f"192.0.2.{number}" for number in range(99)), since=1.0)
    clients.connect("198.51.100.1", since=2.0)
    for stream in clients.all[:99]:
        stream.theirs.sendall(b"G")
    assert clients.connect("203.0.113.1", since=3.0)
    IdleStream.reads = 0
    assert clients.connect("203.0.113.2") is None
    assert IdleStream.reads == 0
    clients.clock.advance(0.001)
    assert clients.connect("203.0.113.2")


def test_networks_without_connections_are_forgotten(clients: Clients) -> None:
    for stream in clients.connect_all(f"2001:db8:{number:x}::1" for number in range(1, 50)):
        stream.close()
    assert len(clients.connections) == 0
    assert not clients.connections._groups  # noqa: SLF001 - what would grow
