"""IP addresses and networks as arguments of commands."""

from ipaddress import IPv6Address

import click

from rules.ip_addresses import parse_address, parse_network
from rules.origin import network_of


class IpAddress(click.ParamType[str]):
    """An IP address, in the form that the database contains; a network too, if that is allowed."""

    name = "ip"

    def __init__(self, *, allows_networks: bool = False) -> None:
        self._allows_networks = allows_networks

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the address; a network with the bits of the host set to 0."""
        text = str(value)
        try:
            if self._allows_networks and "/" in text:
                return str(parse_network(text, strict=False))
            address = parse_address(text)
        except ValueError:
            kind = "an IP address or network" if self._allows_networks else "an IP address"
            self.fail(f"{text} is not {kind}", param, ctx)
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            self.fail(f"{text} has a zone, which no request has", param, ctx)
        return str(address)


def find_ip(text: str) -> str | None:
    """Return the IP address in an argument that may be something else, or None.

    Also that of a network as ``throttle list`` shows it. Raises UsageError for another network, and
    for an address with a zone.
    """
    if "@" in text:
        return None
    try:
        network = parse_network(text.partition("%")[0], strict=False)
    except ValueError:
        return None
    if "/" not in text:
        return IpAddress().convert(text, None, None)
    address = str(network.network_address)
    if network_of(address) != str(network):
        raise click.UsageError(f"{text} is a network: specify an IP address.")
    return address
