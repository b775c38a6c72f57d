"""Which connection is closed for a newcomer, and how seldom all are looked at."""

import socket
from collections.abc import Iterator

import pytest
from tornado.ioloop import IOLoop

from tests.harness.clock import Clock
from transport.connection import Stream
from transport.connections import Connections

PROXY = "10.0.0.1"


class Waiting(Stream):
    """A connection that is idle since a time that a test says, and counts how often it is asked."""

    asked = 0

    def __init__(self, since: float | None) -> None:
        ours, self.theirs = socket.socketpair()
        super().__init__(ours)
        self.since = since

    def set_nodelay(self, value: bool) -> None:  # noqa: FBT001 - Tornado's signature
        """Do nothing: a pair of sockets has no such option."""

    @property
    def idle_since(self) -> float | None:
        type(self).asked += 1
        return self.since


class Crowd:
    """Connections to a server of a few."""

    def __init__(self, most: int, most_of_network: int) -> None:
        self.clock = Clock()
        self.connections = Connections(
            most=most,
            most_of_network=most_of_network,
            is_trusted=lambda address: address == PROXY,
            clock=self.clock,
        )
        self.all: list[Waiting] = []

    def come(self, address: str | None, since: float | None = 0.0) -> Waiting | None:
        """Connect; return the connection, None where there is no room."""
        if not self.connections.make_room(address):
            return None
        stream = Waiting(since)
        self.all.append(stream)
        self.connections.add(stream, address)
        stream.when_closed = self.connections.remove
        return stream

    def disperse(self) -> None:
        """Close all that came."""
        for stream in self.all:
            stream.close()
            stream.theirs.close()

    def come_all(self, addresses: Iterator[str], since: float | None = 0.0) -> list[Waiting]:
        came = [self.come(address, since) for address in addresses]
        return [stream for stream in came if stream is not None]


@pytest.fixture
def crowd(io_loop: IOLoop) -> Iterator[Crowd]:  # noqa: ARG001 - streams need a loop
    crowd = Crowd(most=100, most_of_network=4)
    yield crowd
    crowd.disperse()


def test_of_a_full_network_its_own_longest_idle_connection_is_closed(crowd: Crowd) -> None:
    other = crowd.come("192.0.2.9", since=0.5)
    own = [crowd.come("192.0.2.1", since=since) for since in (3.0, None, 1.0, 2.0)]
    assert crowd.come("::ffff:192.0.2.1", since=9.0) is not None
    assert [stream.closed() for stream in own if stream] == [False, False, True, False]
    assert other is not None
    assert not other.closed()
    assert len(crowd.connections) == 5


def test_of_a_full_network_where_none_is_idle_nobody_is_let_in(crowd: Crowd) -> None:
    busy = [crowd.come("192.0.2.1", since=None) for _ in range(4)]
    assert crowd.come("192.0.2.1") is None
    assert crowd.come("192.0.2.2") is not None
    assert busy[0] is not None
    busy[0].close()
    assert crowd.come("192.0.2.1") is not None


def test_networks_of_ipv6_have_a_share_and_a_site_has_four(crowd: Crowd) -> None:
    first = crowd.come_all(f"2001:db8::{number}" for number in range(1, 5))
    assert crowd.come("2001:db8::ffff", since=1.0) is not None
    assert [stream.closed() for stream in first].count(True) == 1
    networks = (f"2001:db8:0:{number:x}::1" for number in range(1, 17))
    came = crowd.come_all(networks, since=2.0)
    assert len(came) == 16
    assert len(crowd.connections) == 16
    assert crowd.come("2001:db8:1::1") is not None
    assert len(crowd.connections) == 17


def test_a_trusted_proxy_and_a_local_socket_have_all(crowd: Crowd) -> None:
    for address in (PROXY, None):
        assert all(crowd.come(address) for _ in range(50))
    assert len(crowd.connections) == 100
    assert not any(stream.closed() for stream in crowd.all)


def test_of_a_full_server_the_longest_idle_connection_of_all_is_closed(crowd: Crowd) -> None:
    came = crowd.come_all((f"192.0.2.{number}" for number in range(100)), since=1.0)
    came[70].since = 0.5
    assert crowd.come("198.51.100.1") is not None
    assert came[70].closed()
    assert len(crowd.connections) == 100


def test_who_was_served_since_the_last_look_is_not_closed(crowd: Crowd) -> None:
    came = [crowd.come("192.0.2.1", since=since) for since in (1.0, 2.0, 3.0, 4.0)]
    crowd.come("192.0.2.1", since=5.0)
    assert came[1] is not None
    came[1].since = 6.0
    crowd.come("192.0.2.1", since=7.0)
    assert [stream.closed() for stream in came if stream] == [True, False, True, False]


def test_who_is_about_to_be_read_is_not_closed(crowd: Crowd) -> None:
    came = [crowd.come("192.0.2.1", since=since) for since in (1.0, 2.0, 3.0, 4.0)]
    assert came[0] is not None
    came[0].theirs.sendall(b"G")
    crowd.come("192.0.2.1", since=5.0)
    assert [stream.closed() for stream in came if stream] == [False, True, False, False]


def test_one_look_serves_many_newcomers_and_a_fruitless_one_is_not_repeated_at_once(
    crowd: Crowd,
) -> None:
    crowd.come_all((f"192.0.2.{number}" for number in range(100)), since=1.0)
    Waiting.asked = 0
    for number in range(60):
        assert crowd.come(f"198.51.100.{number}", since=2.0)
    assert Waiting.asked == 100 + 60
    for stream in crowd.all:
        stream.since = None
    assert crowd.come("203.0.113.1") is None
    Waiting.asked = 0
    for _ in range(60):
        assert crowd.come("203.0.113.1") is None
    assert Waiting.asked == 0
    crowd.clock.advance(1)
    crowd.all[-1].since = 3.0
    assert crowd.come("203.0.113.1")


def test_however_many_trickle_bytes_an_idle_connection_makes_room(crowd: Crowd) -> None:
    trickling = crowd.come_all((f"192.0.2.{number}" for number in range(90)), since=1.0)
    idle = crowd.come_all((f"198.51.100.{number}" for number in range(10)), since=2.0)
    for stream in trickling:
        stream.theirs.sendall(b"G")
    for number in range(10):
        assert crowd.come(f"203.0.113.{number}", since=None)
    assert all(stream.closed() for stream in idle)
    assert not any(stream.closed() for stream in trickling)


def test_those_who_trickle_bytes_do_not_make_each_newcomer_look_at_all(crowd: Crowd) -> None:
    crowd.come_all((f"192.0.2.{number}" for number in range(99)), since=1.0)
    crowd.come("198.51.100.1", since=2.0)
    for stream in crowd.all[:99]:
        stream.theirs.sendall(b"G")
    assert crowd.come("203.0.113.1", since=3.0)
    Waiting.asked = 0
    assert crowd.come("203.0.113.2") is None
    assert Waiting.asked == 0
    crowd.clock.advance(0.001)
    assert crowd.come("203.0.113.2")


def test_nothing_is_kept_of_networks_whose_connections_are_closed(crowd: Crowd) -> None:
    for stream in crowd.come_all(f"2001:db8:{number:x}::1" for number in range(1, 50)):
        stream.close()
    assert len(crowd.connections) == 0
    assert not crowd.connections._groups  # noqa: SLF001 - what would grow
