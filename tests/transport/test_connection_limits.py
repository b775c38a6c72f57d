"""Which connection is closed for a new one, and how rarely all are searched."""

from collections.abc import Iterator

import pytest

from tests.harness.clock import Clock
from transport.base_connection import BaseConnection
from transport.connection_limits import OpenConnections

PROXY = "10.0.0.1"


class IdleConnection(BaseConnection):
    """A connection that is idle since a time that a test sets, and counts how often it is read."""

    reads = 0

    def __init__(self, connections: OpenConnections, since: float | None) -> None:
        super().__init__(connections)
        self.since = since
        self.is_unread = False

    @property
    def idle_since(self) -> float | None:
        type(self).reads += 1
        return self.since

    def has_unread_bytes(self) -> bool:
        return self.is_unread

    def close(self) -> None:
        """Close as the event loop does once nothing is left to send."""
        self.connection_lost(None)


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
        self.all: list[IdleConnection] = []

    def connect(self, address: str | None, since: float | None = 0.0) -> IdleConnection | None:
        """Connect; return the connection, None if it is refused."""
        if not self.connections.make_room(address):
            return None
        connection = IdleConnection(self.connections, since)
        self.all.append(connection)
        self.connections.add(connection, address)
        return connection

    def connect_all(
        self, addresses: Iterator[str], since: float | None = 0.0
    ) -> list[IdleConnection]:
        connections = [self.connect(address, since) for address in addresses]
        return [connection for connection in connections if connection is not None]


@pytest.fixture
def clients() -> Clients:
    return Clients(max_total=100, max_per_network=4)


def test_in_a_full_network_its_longest_idle_connection_is_closed(clients: Clients) -> None:
    other = clients.connect("192.0.2.9", since=0.5)
    own = [clients.connect("192.0.2.1", since=since) for since in (3.0, None, 1.0, 2.0)]
    assert clients.connect("::ffff:192.0.2.1", since=9.0) is not None
    assert [connection.is_lost for connection in own if connection] == [False, False, True, False]
    assert other is not None
    assert not other.is_lost
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
    assert [connection.is_lost for connection in first].count(True) == 1
    networks = (f"2001:db8:0:{number:x}::1" for number in range(1, 17))
    connections = clients.connect_all(networks, since=2.0)
    assert len(connections) == 16
    assert len(clients.connections) == 16
    assert clients.connect("2001:db8:1::1") is not None
    assert len(clients.connections) == 17


def test_a_trusted_proxy_and_a_unix_socket_have_no_share(clients: Clients) -> None:
    for address in (PROXY, None):
        assert all(clients.connect(address) for _ in range(50))
    assert len(clients.connections) == 100
    assert not any(connection.is_lost for connection in clients.all)


def test_on_a_full_server_the_longest_idle_connection_is_closed(clients: Clients) -> None:
    connections = clients.connect_all((f"192.0.2.{number}" for number in range(100)), since=1.0)
    connections[70].since = 0.5
    assert clients.connect("198.51.100.1") is not None
    assert connections[70].is_lost
    assert len(clients.connections) == 100


def test_a_connection_served_since_the_last_search_is_not_closed(clients: Clients) -> None:
    connections = [clients.connect("192.0.2.1", since=since) for since in (1.0, 2.0, 3.0, 4.0)]
    clients.connect("192.0.2.1", since=5.0)
    assert connections[1] is not None
    connections[1].since = 6.0
    clients.connect("192.0.2.1", since=7.0)
    assert [each.is_lost for each in connections if each] == [True, False, True, False]


def test_a_connection_with_unread_bytes_is_not_closed(clients: Clients) -> None:
    connections = [clients.connect("192.0.2.1", since=since) for since in (1.0, 2.0, 3.0, 4.0)]
    assert connections[0] is not None
    connections[0].is_unread = True
    clients.connect("192.0.2.1", since=5.0)
    assert [each.is_lost for each in connections if each] == [False, True, False, False]


def test_one_search_serves_many_connections_and_a_fruitless_one_is_not_repeated_at_once(
    clients: Clients,
) -> None:
    clients.connect_all((f"192.0.2.{number}" for number in range(100)), since=1.0)
    IdleConnection.reads = 0
    for number in range(60):
        assert clients.connect(f"198.51.100.{number}", since=2.0)
    assert IdleConnection.reads == 100 + 60
    for connection in clients.all:
        connection.since = None
    assert clients.connect("203.0.113.1") is None
    IdleConnection.reads = 0
    for _ in range(60):
        assert clients.connect("203.0.113.1") is None
    assert IdleConnection.reads == 0
    clients.clock.advance(1)
    clients.all[-1].since = 3.0
    assert clients.connect("203.0.113.1")


def test_however_many_clients_trickle_bytes_an_idle_connection_makes_room(clients: Clients) -> None:
    trickling = clients.connect_all((f"192.0.2.{number}" for number in range(90)), since=1.0)
    idle = clients.connect_all((f"198.51.100.{number}" for number in range(10)), since=2.0)
    for connection in trickling:
        connection.is_unread = True
    for number in range(10):
        assert clients.connect(f"203.0.113.{number}", since=None)
    assert all(connection.is_lost for connection in idle)
    assert not any(connection.is_lost for connection in trickling)


def test_clients_that_trickle_bytes_do_not_cause_a_search_for_each_connection(
    clients: Clients,
) -> None:
    clients.connect_all((f"192.0.2.{number}" for number in range(99)), since=1.0)
    clients.connect("198.51.100.1", since=2.0)
    for connection in clients.all[:99]:
        connection.is_unread = True
    assert clients.connect("203.0.113.1", since=3.0)
    IdleConnection.reads = 0
    assert clients.connect("203.0.113.2") is None
    assert IdleConnection.reads == 0
    clients.clock.advance(0.001)
    assert clients.connect("203.0.113.2")


def test_networks_without_connections_are_forgotten(clients: Clients) -> None:
    for connection in clients.connect_all(f"2001:db8:{number:x}::1" for number in range(1, 50)):
        connection.close()
    assert len(clients.connections) == 0
    assert not clients.connections._groups  # noqa: SLF001 - what would grow
