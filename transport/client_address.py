"""The IP address of the client behind trusted proxies."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from tornado.httputil import HTTPServerRequest

from rules.ip_addresses import parse_address, parse_network

_MAX_USER_AGENT_LENGTH = 400
# An entry of X-Forwarded-For is an address with brackets, a zone and a port.
_MAX_ENTRY_LENGTH = 80
_MAX_CACHED_LENGTH = 1_000
_MAX_PROXIES = 100
_WITH_PORT = re.compile(r"(?P<v4>[0-9.]+):[0-9]{1,5}|\[(?P<v6>[^\]]+)\](?::[0-9]{1,5})?", re.ASCII)


class ClientAddresses:
    """Finds the client's IP address of a request that may have passed trusted proxies.

    A trusted proxy appends the address of its own client to X-Forwarded-For. The list is therefore
    read from the right as long as a trusted host wrote each entry: a client can forge the rest. If
    an entry is not an IP address, the one read before it is that of the client.
    """

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        """Trust these networks; raise ValueError if one of them is not a network."""
        self._trusted = tuple(map(parse_network, trusted_proxies))
        self._cached_client = lru_cache(maxsize=5_000)(self._client)
        self.trusts = lru_cache(maxsize=5_000)(self._is_trusted)

    def of(self, request: HTTPServerRequest) -> str | None:
        """Return the client's IP address; None if there is none, as on a Unix socket."""
        peer = request.remote_ip or ""
        if not self._trusted:
            return _normalize(peer)
        forwarded = request.headers.get("X-Forwarded-For")
        if forwarded is None:
            return self._cached_client(peer, None)
        client = self._cached_client if len(forwarded) <= _MAX_CACHED_LENGTH else self._client
        return client(peer, forwarded)

    def used_https(self, request: HTTPServerRequest) -> bool:
        """Return whether the client used HTTPS, according to this server or a trusted proxy."""
        if request.protocol == "https":
            return True
        return claims_https(request) and self.trusts(request.remote_ip or "")

    def _client(self, peer: str, forwarded: str | None) -> str | None:
        client = _parse_address(peer)
        if client is None:
            return None
        # The bound matters if a client within a trusted network sends thousands of entries.
        entries = forwarded.rsplit(",", _MAX_PROXIES)[-_MAX_PROXIES:] if forwarded else []
        while entries and self._contains(client):
            address = _parse_entry(entries.pop())
            if address is None:
                break
            client = address
        return str(client)

    def _is_trusted(self, peer: str) -> bool:
        address = _parse_address(peer)
        return address is not None and self._contains(address)

    def _contains(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def claims_https(request: HTTPServerRequest) -> bool:
    """Return whether the peer claims that its client used HTTPS; anyone can claim that."""
    # A proxy that appends to the field of the client would send a list.
    return request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def peer_of(request: HTTPServerRequest) -> str:
    """Return the IP address of the peer, or ``unix`` on a Unix socket."""
    return _normalize(request.remote_ip or "") or "unix"


class RequestOrigin:
    """The origin of one request, read on demand."""

    __slots__ = ("_addresses", "_is_from_proxy", "_request", "request_id")

    def __init__(
        self,
        request: HTTPServerRequest,
        addresses: ClientAddresses,
        request_id: str,
        *,
        is_from_proxy: bool,
    ) -> None:
        """Describe a request; ``is_from_proxy`` if its sender presents its client's credentials."""
        self._request = request
        self._addresses = addresses
        self._is_from_proxy = is_from_proxy
        self.request_id = request_id

    @property
    def ip(self) -> str | None:
        """Return the client's IP address."""
        return self._addresses.of(self._request)

    @property
    def user_ip(self) -> str | None:
        """Return the user's IP address; None if only that of the proxy is known."""
        ip = self._addresses.of(self._request)
        return (
            None if self._is_from_proxy and ip == _normalize(self._request.remote_ip or "") else ip
        )

    @property
    def actor(self) -> None:
        """Return None: the actor of a request is never an administrator of this machine."""
        return

    @property
    def user_agent(self) -> str | None:
        """Return the client's User-Agent without its unprintable characters."""
        agent = self._request.headers.get("User-Agent", "")[:_MAX_USER_AGENT_LENGTH]
        return "".join(character for character in agent if character.isprintable()) or None


@lru_cache(maxsize=10_000)
def _normalize(text: str) -> str | None:
    address = _parse_address(text)
    return None if address is None else str(address)


def _parse_entry(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in an entry of X-Forwarded-For, which may have a port."""
    text = text.strip(" \t")
    if len(text) > _MAX_ENTRY_LENGTH:
        return None
    match = _WITH_PORT.fullmatch(text)
    return _parse_address((match["v4"] or match["v6"]) if match else text)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an IP address; None for the unspecified one, which Tornado sets for Unix sockets."""
    try:
        address = parse_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # A zone index has a meaning on one machine only.
        address = IPv6Address(int(address))
    return None if address.is_unspecified else address
