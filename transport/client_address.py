"""Where a request comes from."""

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from tornado.httputil import HTTPServerRequest

_LONGEST_USER_AGENT = 400
# Of X-Forwarded-For: an address with brackets, a zone and a port; and what is worth remembering.
_LONGEST_ENTRY = 80
_LONGEST_REMEMBERED = 1_000
_MOST_PROXIES = 100
_WITH_PORT = re.compile(r"(?P<v4>[0-9.]+):[0-9]{1,5}|\[(?P<v6>[^\]]+)\](?::[0-9]{1,5})?", re.ASCII)
_MAPPED = IPv6Network("::ffff:0:0/96")


class ClientAddresses:
    """Tells which address a request comes from, past the proxies that are trusted.

    A proxy that is trusted appends to X-Forwarded-For whom it was asked by. So the list is read
    from the right, for as long as those who wrote it are trusted: the rest is what somebody says.
    Where an entry is no address, whoever was read before it counts as the client.
    """

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        """Trust these networks; raises ValueError where one is none."""
        self._trusted = tuple(map(_network, trusted_proxies))
        self._remembered = lru_cache(maxsize=5_000)(self._read)
        self.trusts = lru_cache(maxsize=5_000)(self._is_trusted)

    def of(self, request: HTTPServerRequest) -> str | None:
        """Return the address that a request comes from; None where there is none."""
        peer = request.remote_ip or ""
        if not self._trusted:
            return _peer(peer)
        forwarded = request.headers.get("X-Forwarded-For")
        if forwarded is None:
            return self._remembered(peer, None)
        read = self._remembered if len(forwarded) <= _LONGEST_REMEMBERED else self._read
        return read(peer, forwarded)

    def came_by_https(self, request: HTTPServerRequest) -> bool:
        """Tell whether a request came over HTTPS, as far as those who are trusted know."""
        if request.protocol == "https":
            return True
        # A list would be of a proxy that appends what the client claims.
        forwarded = request.headers.get("X-Forwarded-Proto", "").strip().lower()
        return forwarded == "https" and self.trusts(request.remote_ip or "")

    def _read(self, peer: str, forwarded: str | None) -> str | None:
        client = _address(peer)
        if client is None:
            return None
        # A client that is trusted could write thousands.
        entries = forwarded.rsplit(",", _MOST_PROXIES)[-_MOST_PROXIES:] if forwarded else []
        while entries and self._trusts(client):
            address = _entry(entries.pop())
            if address is None:
                break
            client = address
        return str(client)

    def _is_trusted(self, peer: str) -> bool:
        address = _address(peer)
        return address is not None and self._trusts(address)

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


class RequestOrigin:
    """Where one request comes from; read when somebody asks."""

    __slots__ = ("_addresses", "_asks_for_others", "_request", "request_id")

    def __init__(
        self,
        request: HTTPServerRequest,
        addresses: ClientAddresses,
        request_id: str,
        *,
        asks_for_others: bool,
    ) -> None:
        self._request = request
        self._addresses = addresses
        self._asks_for_others = asks_for_others
        self.request_id = request_id

    @property
    def ip(self) -> str | None:
        """Return the address."""
        return self._addresses.of(self._request)

    @property
    def user_ip(self) -> str | None:
        """Return the address, unless it is known to be of somebody who asks for the user."""
        ip = self._addresses.of(self._request)
        return None if self._asks_for_others and ip == _peer(self._request.remote_ip or "") else ip

    @property
    def actor(self) -> None:
        """Return nobody: who acts by a request is not an administrator of this machine."""
        return

    @property
    def user_agent(self) -> str | None:
        """Return what the client says it is, without what cannot be printed."""
        agent = self._request.headers.get("User-Agent", "")[:_LONGEST_USER_AGENT]
        return "".join(character for character in agent if character.isprintable()) or None


@lru_cache(maxsize=10_000)
def _peer(text: str) -> str | None:
    address = _address(text)
    return None if address is None else str(address)


def _entry(text: str) -> IPv4Address | IPv6Address | None:
    """Read an entry of X-Forwarded-For, which may have a port."""
    text = text.strip(" \t")
    if len(text) > _LONGEST_ENTRY:
        return None
    found = _WITH_PORT.fullmatch(text)
    return _address((found["v4"] or found["v6"]) if found else text)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; that of nobody, which Tornado gives for a Unix socket, is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # A zone is a matter of one machine.
        address = address.ipv4_mapped or IPv6Address(int(address))
    return None if address.is_unspecified else address


def _network(text: str) -> IPv4Network | IPv6Network:
    network = ipaddress.ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        return IPv4Network((mapped, network.prefixlen - _MAPPED.prefixlen))
    return network
