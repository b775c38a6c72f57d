"""The hosts that a DSN names, and the IP addresses of their names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from db.errors import InvalidUrl, Unavailable
from ops.host_names import HostNames

_DEFAULT_PORT = "5432"


@dataclass(frozen=True, slots=True)
class Host:
    """One host as parameters of libpq; an empty one is not set.

    ``name`` is a host name, an IP address, or the directory of a socket. ``address`` is the IP
    address to connect to.
    """

    name: str = ""
    address: str = ""
    port: str = ""

    def __str__(self) -> str:
        name = self.name or self.address
        address = f" ({self.address})" if self.address not in {"", name} else ""
        return f"{name}{address}{f' port {self.port}' if self.port else ''}"

    @property
    def parameters(self) -> dict[str, str]:
        """Return the parameters that replace the hosts of the DSN."""
        port = {"port": self.port} if self.port else {}
        if not self.name and not self.address:
            return port
        # With an address, libpq uses the name to verify the certificate only.
        return {"host": self.name, "hostaddr": self.address} | port

    @property
    def is_resolved(self) -> bool:
        """Return whether libpq can connect without resolving a name, which would block the loop."""
        return bool(self.address) or not self.name or self.name.startswith(("/", "@"))

    def includes(self, other: "Host | None") -> bool:
        """Return whether a resolved host is this one, with any of its IP addresses."""
        return other is not None and other == replace(self, address=self.address or other.address)


def find_hosts(parts: Mapping[str, str]) -> list[Host]:
    """Return the hosts in the parts of a DSN, as libpq reads them; raises InvalidUrl."""
    names, addresses, ports = (
        parts[key].split(",") if parts.get(key) else [] for key in ("host", "hostaddr", "port")
    )
    count = max(len(names), len(addresses), 1)
    if len(ports) == 1:
        ports *= count
    if any(len(column) not in {0, count} for column in (names, addresses, ports)):
        raise InvalidUrl(
            "has different numbers of hosts, addresses and ports: it must have one of each for each"
            " host, or one port for all."
        )
    columns = [column or [""] * count for column in (names, addresses)]
    columns.append([port or _DEFAULT_PORT for port in ports] or [""] * count)
    hosts = [Host(*each) for each in zip(*columns, strict=True)]
    if not all(host.is_resolved or _can_be_resolved(host.name) for host in hosts):
        raise InvalidUrl(
            "has an invalid host name: each of its labels must have 1 to 63 characters."
        )
    return hosts


def _can_be_resolved(name: str) -> bool:
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return True


async def resolve(host: Host, names: HostNames) -> list[Host]:
    """Return a host with each IP address of its name; raises Unavailable."""
    try:
        addresses = await names.resolve(host.name)
    except OSError as error:
        raise Unavailable(
            f"the host name {host.name} cannot be resolved: {error.strerror}"
        ) from None
    return [replace(host, address=address) for address in addresses]
