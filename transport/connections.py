"""Who may be connected: so many in all, and a share of them from one network.

Where there is no room for a newcomer, the connection that has been idle for longest is closed. To
look for it among thousands at each newcomer would be slow: one look finds many, for others to come.
"""

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from operator import itemgetter

from transport.connection import Stream

# How many idle connections one look finds; where it found none, how long it is before the next,
# and how long for each that it passed over: those who trickle bytes must not make it look all the
# time.
_FOUND = 64
_FRUITLESS_SECONDS = 0.1
_PASSED_OVER_SECONDS = 0.00001
# Of IPv6, a site has a /48, and each of its networks a /64; all those of a site together have as
# much as some networks.
_SITE_BITS, _NETWORK_BITS, _ALL_BITS = 48, 64, 128
_NETWORKS_OF_SITE = 4

# The kind of a network, its first bits, and how many shares it has.
Network = tuple[str, int, int]


class Group:
    """Connections that count together: ``most`` of them may be open."""

    __slots__ = ("_found", "_look_at", "most", "streams")

    def __init__(self, most: float) -> None:
        self.most = most
        self.streams: set[Stream] = set()
        self._found: list[tuple[float, Stream]] = []
        self._look_at = 0.0

    def find_longest_idle(self, now: float) -> Stream | None:
        """Return the connection that has waited for a request for longest, if any waits."""
        stream = self._next_found()
        if stream is None and now >= self._look_at:
            self._look(now)
            stream = self._next_found()
        return stream

    def _next_found(self) -> Stream | None:
        while self._found:
            since, stream = self._found.pop()
            # Whoever was served meanwhile, or is about to be, is idle no more.
            is_as_found = stream in self.streams and stream.idle_since == since
            if is_as_found and not stream.is_about_to_be_read():
                return stream
        return None

    def _look(self, now: float) -> None:
        """Find those that have been idle for longest, the very longest last."""
        each = ((stream.idle_since, stream) for stream in self.streams)
        idle = [(since, stream) for since, stream in each if since is not None]
        passed_over = 0
        for since, stream in sorted(idle, key=itemgetter(0)):
            if stream.is_about_to_be_read():
                passed_over += 1
                continue
            self._found.append((since, stream))
            if len(self._found) == _FOUND:
                break
        self._found.reverse()
        pause = passed_over * _PASSED_OVER_SECONDS if self._found else _FRUITLESS_SECONDS
        self._look_at = now + pause


class Connections:
    """The open connections of a server.

    ``most`` of them may be open, and ``most_of_network`` (0: as many) from an IPv4 address or a
    /64 of IPv6, four times as many from a /48. Those for whom ``is_trusted`` is true have no share
    of their own: everybody comes through such a proxy. ``clock`` is monotonic.
    """

    def __init__(
        self,
        *,
        most: int,
        most_of_network: int,
        is_trusted: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._all = Group(most)
        self._most_of_network = most_of_network
        self._is_trusted = is_trusted
        self._clock = clock
        self._groups: dict[Network, Group] = {}
        self._networks: dict[Stream, tuple[Network, ...]] = {}

    def __len__(self) -> int:
        return len(self._networks)

    def __iter__(self) -> Iterator[Stream]:
        """Iterate over those that are open now, whatever happens to them meanwhile."""
        return iter(tuple(self._networks))

    def make_room(self, address: str | None) -> bool:
        """Tell whether there is room for somebody at an address, having made it if need be."""
        groups = [group for network in self._of(address) if (group := self._groups.get(network))]
        return all(map(self._make_room_in, (*groups, self._all)))

    def add(self, stream: Stream, address: str | None) -> None:
        """Count a connection from an address; None is no address of a network."""
        self._networks[stream] = networks = self._of(address)
        self._all.streams.add(stream)
        for network in networks:
            group = self._groups.get(network)
            if group is None:
                *_, shares = network
                group = self._groups[network] = Group(shares * self._most_of_network)
            group.streams.add(stream)

    def remove(self, stream: Stream) -> None:
        """Count a connection out, unless it is already."""
        self._all.streams.discard(stream)
        for network in self._networks.pop(stream, ()):
            group = self._groups[network]
            group.streams.discard(stream)
            if not group.streams:
                del self._groups[network]

    def _make_room_in(self, group: Group) -> bool:
        if len(group.streams) < group.most:
            return True
        stream = group.find_longest_idle(self._clock())
        if stream is None:
            return False
        stream.close()
        self.remove(stream)
        return True

    def _of(self, address: str | None) -> tuple[Network, ...]:
        """Return the networks in whose shares somebody at an address has a part, smallest first."""
        if address is None or not self._most_of_network or self._is_trusted(address):
            return ()
        return _networks(address)


@lru_cache(maxsize=10_000)
def _networks(text: str) -> tuple[Network, ...]:
    address: IPv4Address | IPv6Address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    bits = int(address)
    if isinstance(address, IPv4Address):
        return (("address", bits, 1),)
    return (
        ("network", bits >> (_ALL_BITS - _NETWORK_BITS), 1),
        ("site", bits >> (_ALL_BITS - _SITE_BITS), _NETWORKS_OF_SITE),
    )
