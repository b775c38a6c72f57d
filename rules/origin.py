"""The origin of a request, for counts and for the audit trail."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

NETWORK_BITS = 64
# A provider may assign this prefix to one customer (RIPE-690): 65,536 networks.
SITE_BITS = 48


class Origin(Protocol):
    """The origin of a request, as far as it is known."""

    @property
    def ip(self) -> str | None:
        """Return the IP address."""

    @property
    def user_ip(self) -> str | None:
        """Return the IP address, unless it belongs to a service that acts for the user."""

    @property
    def user_agent(self) -> str | None:
        """Return the User-Agent of the caller."""

    @property
    def request_id(self) -> str | None:
        """Return the id of the request."""

    @property
    def actor(self) -> str | None:
        """Return the system account of the administrator who acts."""


@dataclass(frozen=True, slots=True)
class LocalOrigin:
    """An administrator at the command line, where no request exists."""

    actor: str | None = None
    ip: str | None = None
    user_ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


@lru_cache(maxsize=10_000)
def network_of(ip: str | None) -> str:
    """Return the network of an IP address: an IPv4 address itself, or the /64 of an IPv6 one."""
    return _prefix_of(ip, NETWORK_BITS)


@lru_cache(maxsize=10_000)
def site_of(ip: str | None) -> str:
    """Return the site of an IP address: an IPv4 address itself, or the /48 of an IPv6 one."""
    return _prefix_of(ip, SITE_BITS)


def _prefix_of(ip: str | None, bits: int) -> str:
    if ip is None:
        return "unknown"
    parsed = ipaddress.ip_address(ip)
    if parsed.version == 4:  # noqa: PLR2004
        return ip
    # Computed here: ipaddress.ip_network() takes ten times as long, which matters in a flood.
    host_bits = parsed.max_prefixlen - bits
    return f"{ipaddress.IPv6Address(int(parsed) >> host_bits << host_bits)}/{bits}"
