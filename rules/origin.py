"""Where a request comes from, for those who count and write down."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

_NETWORK_BITS = 64
# What one customer of a provider may have (RIPE-690): 65,536 networks.
_SITE_BITS = 48


class Origin(Protocol):
    """Where a request comes from, as far as that is known."""

    @property
    def ip(self) -> str | None:
        """Return the address."""

    @property
    def user_ip(self) -> str | None:
        """Return the address, unless it is known to be of somebody who asks for the user."""

    @property
    def user_agent(self) -> str | None:
        """Return what the client says it is."""

    @property
    def request_id(self) -> str | None:
        """Return the id of the request."""

    @property
    def actor(self) -> str | None:
        """Return the account on this machine of an administrator who acts."""


@dataclass(frozen=True, slots=True)
class LocalOrigin:
    """An administrator at the command line: no request at all."""

    actor: str | None = None
    ip: str | None = None
    user_ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


@lru_cache(maxsize=10_000)
def network_of(address: str | None) -> str:
    """Return what counts as one place: an IPv4 address, or the /64 of an IPv6 address."""
    return _prefix_of(address, _NETWORK_BITS)


@lru_cache(maxsize=10_000)
def site_of(address: str | None) -> str:
    """Return what may be one subscriber's: an IPv4 address, or the /48 of an IPv6 address."""
    return _prefix_of(address, _SITE_BITS)


def _prefix_of(address: str | None, bits: int) -> str:
    if address is None:
        return "unknown"
    parsed = ipaddress.ip_address(address)
    if parsed.version == 4:  # noqa: PLR2004
        return address
    # By arithmetic: ipaddress.ip_network() takes ten times as long, for each address of a flood.
    host_bits = parsed.max_prefixlen - bits
    return f"{ipaddress.IPv6Address(int(parsed) >> host_bits << host_bits)}/{bits}"
