"""IP addresses and networks in their usual form: IPv4-mapped IPv6 ones as IPv4."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_MAPPED = IPv6Network("::ffff:0:0/96")


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Return an address, with its zone; raises ValueError."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def parse_network(text: str, *, strict: bool = True) -> IPv4Network | IPv6Network:
    """Return a network; raises ValueError, if ``strict`` also for host bits that are set."""
    network = ip_network(text, strict=strict)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = IPv4Address(int(network.network_address) & 0xFFFFFFFF)
        return IPv4Network((mapped, network.prefixlen - _MAPPED.prefixlen))
    return network
