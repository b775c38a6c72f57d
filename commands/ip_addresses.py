"""IP addresses and networks as arguments of commands."""

from ipaddress import IPv4Network, IPv6Network

import click

from rules.ip_addresses import parse_network
from rules.origin import network_of


class IpAddress(click.ParamType[str]):
    """An IP address in the form in the database; also a network, if ``allows_networks``.

    A network that the server counts as one address is converted to that address: 192.0.2.1/32, and
    2001:db8::/64, as ``throttle list`` prints it.
    """

    name = "ip"

    def __init__(self, *, allows_networks: bool = False) -> None:
        self._allows_networks = allows_networks

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the address; a network with the bits of the host set to 0."""
        text = str(value)
        network = _find_network(text)
        if network is None:
            kind = "an IP address or network" if self._allows_networks else "an IP address"
            self.fail(f"{text} is not {kind}", param, ctx)
        if "%" in text:
            self.fail(f"{text} has a zone, which no request has", param, ctx)
        if self._allows_networks and "/" in text:
            return str(network)
        address = str(network.network_address)
        if network.num_addresses > 1 and network_of(address) != str(network):
            self.fail(f"{text} is a network: specify an IP address", param, ctx)
        return address


def find_ip(text: str) -> str | None:
    """Return the IP address in an argument that may be something else, or None.

    Raises BadParameter for a network of several addresses, and for an address with a zone.
    """
    if "@" in text or _find_network(text) is None:
        return None
    return IpAddress().convert(text, None, None)


def _find_network(text: str) -> IPv4Network | IPv6Network | None:
    """Return the network in a text, with or without a zone; None for any other text."""
    address, slash, bits = text.partition("/")
    try:
        return parse_network(f"{address.partition('%')[0]}{slash}{bits}", strict=False)
    except ValueError:
        return None
