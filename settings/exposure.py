"""The reach of an IP address or a network: loopback, a network, or everything."""

from ipaddress import IPv6Network, ip_address, ip_network

# The prefix lengths of the largest networks of one organization, such as 10.0.0.0/8.
_MIN_PREFIX = {4: 8, 6: 16}
_OWN_IPV6 = (IPv6Network("fc00::/7"), IPv6Network("fe80::/10"))
_MAPPED = IPv6Network("::ffff:0:0/96")


def is_loopback(host: str) -> bool:
    """Return whether the name of a host shows that it is this machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def includes_callers(network: str) -> bool:
    """Return whether a network is too large for one organization, so that it includes callers."""
    parsed = ip_network(network)
    if isinstance(parsed, IPv6Network):
        if parsed.subnet_of(_MAPPED):
            return parsed.prefixlen - _MAPPED.prefixlen < _MIN_PREFIX[4]
        if any(parsed.subnet_of(own) for own in _OWN_IPV6):
            return False
    return parsed.prefixlen < _MIN_PREFIX[parsed.version]
