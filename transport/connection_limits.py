"""Limits on open connections: in total, and from one network.

When a limit is reached, a new connection replaces the one that has been idle for longest. Searching
thousands for each new connection would be slow: one search finds several.
"""

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address
from operator import itemgetter

from rules.ip_addresses import parse_address
from rules.origin import NETWORK_BITS, SITE_BITS
from transport.base_connection import BaseConnection

# How many idle connections one search finds. The next search is delayed if this one found none, and
# for each connection that it skipped: clients that trickle bytes must not make the server search
# all the time.
_FOUND_AT_ONCE = 64
_FRUITLESS_SECONDS = 0.1
_SKIPPED_SECONDS = 0.00001
# The maximum number of bytes that one read of a connection returns.
_RECEIVE_BYTES = 64 * 1024
_ADDRESS_BITS = 128
# All networks of an IPv6 site together have the limit of four networks.
_NETWORKS_OF_SITE = 4

# The kind of a network, its first bits, and how many shares it has.
Network = tuple[str, int, int]


class ConnectionGroup:
    """Connections that are counted together: at most ``limit`` of them may be open."""

    __slots__ = ("_found", "_search_after", "connections", "limit")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.connections: set[BaseConnection] = set()
        self._found: list[tuple[float, BaseConnection]] = []
        self._search_after = 0.0

    def find_longest_idle(self, now: float) -> BaseConnection | None:
        """Return the connection that has awaited a request for longest, or None."""
        connection = self._next_found()
        if connection is None and now >= self._search_after:
            self._search(now)
            connection = self._next_found()
        return connection

    def _next_found(self) -> BaseConnection | None:
        while self._found:
            since, connection = self._found.pop()
            # It may have been served since the search.
            is_still_idle = connection in self.connections and connection.idle_since == since
            if is_still_idle and not connection.has_unread_bytes():
                return connection
        return None

    def _search(self, now: float) -> None:
        """Find the connections that have been idle for longest; the last is the longest idle."""
        since_of_each = ((connection.idle_since, connection) for connection in self.connections)
        idle = [(since, connection) for since, connection in since_of_each if since is not None]
        skipped = 0
        for since, connection in sorted(idle, key=itemgetter(0)):
            if connection.has_unread_bytes():
                skipped += 1
                continue
            self._found.append((since, connection))
            if len(self._found) == _FOUND_AT_ONCE:
                break
        self._found.reverse()
        pause = skipped * _SKIPPED_SECONDS if self._found else _FRUITLESS_SECONDS
        self._search_after = now + pause


class OpenConnections:
    """The open connections of a server, within its limits.

    ``max_total`` of them may be open, and ``max_per_network`` (0: no such limit) from an IPv4
    address or an IPv6 /64, four times as many from a /48. An IP address for which ``is_trusted``
    returns True has no limit of its own: such a proxy forwards for all clients. ``clock`` returns
    monotonic seconds.
    """

    def __init__(
        self,
        *,
        max_total: int,
        max_per_network: int,
        is_trusted: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.receive_buffer = memoryview(bytearray(_RECEIVE_BYTES))
        self._all = ConnectionGroup(max_total)
        self._max_per_network = max_per_network
        self._is_trusted = is_trusted
        self._clock = clock
        self._groups: dict[Network, ConnectionGroup] = {}
        self._networks: dict[BaseConnection, tuple[Network, ...]] = {}

    def __len__(self) -> int:
        return len(self._networks)

    def __iter__(self) -> Iterator[BaseConnection]:
        """Iterate over a snapshot of the open connections."""
        return iter(tuple(self._networks))

    def make_room(self, address: str | None) -> bool:
        """Return whether a connection from an IP address may open; close others if needed."""
        networks = self._limited_networks(address)
        groups = [group for network in networks if (group := self._groups.get(network))]
        return all(map(self._make_room_in, (*groups, self._all)))

    def add(self, connection: BaseConnection, address: str | None) -> None:
        """Count an open connection; the IP address is None on a Unix socket."""
        self._networks[connection] = networks = self._limited_networks(address)
        self._all.connections.add(connection)
        for network in networks:
            group = self._groups.get(network)
            if group is None:
                *_, shares = network
                group = self._groups[network] = ConnectionGroup(shares * self._max_per_network)
            group.connections.add(connection)

    def remove(self, connection: BaseConnection) -> None:
        """Stop counting a connection; do nothing if it is not counted."""
        self._all.connections.discard(connection)
        for network in self._networks.pop(connection, ()):
            group = self._groups[network]
            group.connections.discard(connection)
            if not group.connections:
                del self._groups[network]

    def _make_room_in(self, group: ConnectionGroup) -> bool:
        if len(group.connections) < group.limit:
            return True
        connection = group.find_longest_idle(self._clock())
        if connection is None:
            return False
        connection.close()
        self.remove(connection)
        return True

    def _limited_networks(self, address: str | None) -> tuple[Network, ...]:
        """Return the networks of an IP address that have a limit, the smallest first."""
        if address is None or not self._max_per_network or self._is_trusted(address):
            return ()
        return _networks_of(address)


@lru_cache(maxsize=10_000)
def _networks_of(text: str) -> tuple[Network, ...]:
    address = parse_address(text)
    bits = int(address)
    if isinstance(address, IPv4Address):
        return (("address", bits, 1),)
    return (
        ("network", bits >> (_ADDRESS_BITS - NETWORK_BITS), 1),
        ("site", bits >> (_ADDRESS_BITS - SITE_BITS), _NETWORKS_OF_SITE),
    )
