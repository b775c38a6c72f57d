"""The plan of a cluster: read from a file and checked. Needs only Python."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from pathlib import Path

# Patroni accepts no less.
MIN_TTL = 20
MAX_PORT = 65535


class Mistakes(Exception):
    """Something cannot be used; each line names a file, what is wrong in it, and how."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True)
class Node:
    """A node, and the ports of its programs."""

    name: str
    address: str
    postgres: int
    patroni: int
    etcd: int
    etcd_peer: int


@dataclass(frozen=True)
class Proxy:
    """The address and port of a proxy."""

    address: str
    port: int
    # Only HAProxy is started as root, and then changes to this user.
    user: str = ""


@dataclass(frozen=True)
class Plan:
    """A cluster as its administrator describes it."""

    cluster: str
    bin_dir: str
    data_dir: str
    clients: Sequence[str]
    nodes: Sequence[Node]
    haproxy: Proxy
    pgbouncer: Proxy
    ttl: int = 30


@dataclass(frozen=True)
class Form:
    """The form of a text, and its description in messages."""

    pattern: re.Pattern[str]
    description: str

    def fits(self, value: object) -> bool:
        """Return whether a value is a text of this form."""
        return isinstance(value, str) and self.pattern.fullmatch(value) is not None


# A name is a part of paths, of YAML and of the names of units.
NAME = Form(
    re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),
    "up to 63 lower-case letters a to z, digits and hyphens, with no hyphen at either end",
)
USER = Form(re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*"), "the name of a user")
# The templates have paths in YAML, in the quotes of a shell, and in psql.
FOLDER = Form(
    re.compile(r"/([A-Za-z0-9/._ +-]*[A-Za-z0-9/._+-])?"),
    "an absolute path of letters, digits, spaces and / . _ + -",
)


class _Table:
    """A table of a plan, whose values are taken one by one."""

    def __init__(self, label: str, value: object, faults: list[str]) -> None:
        self._label = label
        self._faults = faults
        self._entries = dict(value) if isinstance(value, dict) else None
        if self._entries is None:
            faults.append(f"{label} {'is missing' if value is None else 'must be a table'}")

    def text(self, name: str, form: Form, default: str | None = None) -> str:
        """Take a text."""
        value = self._take(name, default)
        if isinstance(value, str) and (value == default or form.fits(value)):
            return value
        self._reject(name, value, form.description)
        return ""

    def address(self, name: str) -> str:
        """Take an IP address: the programs listen on it, and most of them resolve no name."""
        value = self._take(name)
        with suppress(ValueError):
            if isinstance(value, str):
                return str(IPv4Address(value))
        self._reject(name, value, 'an IPv4 address, such as "10.0.0.11"')
        return ""

    def number(
        self, name: str, low: int, high: int | None = None, default: int | None = None
    ) -> int:
        """Take an integer between two bounds."""
        value = self._take(name, default)
        # True is an int, too.
        if type(value) is int and low <= value and (high is None or value <= high):
            return value
        bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
        self._reject(name, value, f"an integer {bounds}")
        return 0

    def port(self, name: str) -> int:
        """Take a port."""
        return self.number(name, 1, MAX_PORT)

    def networks(self, name: str) -> Sequence[str]:
        """Take a list of networks, as pg_hba.conf accepts them."""
        value = self._take(name)
        if isinstance(value, list) and value and all(map(_is_network, value)):
            return value
        self._reject(name, value, 'a list of networks, such as ["10.0.0.0/24"]')
        return []

    def end(self) -> None:
        """Report the names that were not taken."""
        self._faults.extend(f"{self._label} {name!r} is not known" for name in self._entries or ())

    def _take(self, name: str, default: object = None) -> object:
        return (self._entries or {}).pop(name, default)

    def _reject(self, name: str, value: object, expected: str) -> None:
        # A table that is missing is reported itself.
        if self._entries is not None:
            wrong = "is missing" if value is None else f"must be {expected}"
            self._faults.append(f"{self._label} {name} {wrong}")


def read_plan(file: Path) -> Plan:
    """Return the plan in a file. Raises Mistakes, with all that are in it."""
    faults: list[str] = []
    try:
        plan = _parse(tomllib.loads(file.read_text(encoding="utf-8")), faults)
    except OSError as error:
        raise Mistakes([f"{file}: cannot be read: {error.strerror}"]) from error
    except (ValueError, RecursionError) as error:
        raise Mistakes([f"{file}: is not TOML in UTF-8: {error}"]) from error
    # What follows from a wrong value is no further mistake.
    faults = faults or [*_shared_names(plan.nodes), *_shared_ports(plan)]
    if faults:
        raise Mistakes([f"{file}: {fault}" for fault in faults])
    return plan


def _parse(document: dict[str, object], faults: list[str]) -> Plan:
    cluster = _Table("[cluster]", document.pop("cluster", None), faults)
    plan = Plan(
        cluster=cluster.text("name", NAME),
        bin_dir=cluster.text("bin_dir", FOLDER),
        data_dir=cluster.text("data_dir", FOLDER),
        clients=cluster.networks("clients"),
        ttl=cluster.number("ttl", MIN_TTL, default=Plan.ttl),
        nodes=[*_parse_nodes(document.pop("node", None), faults)],
        haproxy=_parse_proxy("haproxy", document, faults, has_user=True),
        pgbouncer=_parse_proxy("pgbouncer", document, faults),
    )
    cluster.end()
    faults.extend(f"{name!r} is not known" for name in document)
    return plan


def _parse_nodes(value: object, faults: list[str]) -> Iterator[Node]:
    if not isinstance(value, list) or not value:
        faults.append("[[node]] is missing" if value is None else "[[node]] must be tables")
        return
    for number, each in enumerate(value, start=1):
        table = _Table(f"[[node]] {number}:", each, faults)
        yield Node(
            name=table.text("name", NAME),
            address=table.address("address"),
            postgres=table.port("postgres"),
            patroni=table.port("patroni"),
            etcd=table.port("etcd"),
            etcd_peer=table.port("etcd_peer"),
        )
        table.end()


def _parse_proxy(
    name: str, document: dict[str, object], faults: list[str], *, has_user: bool = False
) -> Proxy:
    table = _Table(f"[{name}]", document.pop(name, None), faults)
    user = table.text("user", USER, default="") if has_user else ""
    proxy = Proxy(table.address("address"), table.port("port"), user)
    table.end()
    return proxy


def _is_network(value: object) -> bool:
    """Return whether pg_hba.conf accepts a network, which needs a length."""
    with suppress(ValueError):
        return (
            isinstance(value, str)
            and value.partition("/")[2].isdecimal()
            and bool(ip_network(value))
        )
    return False


def _shared_names(nodes: Iterable[Node]) -> Iterator[str]:
    """Yield the mistakes of nodes that have the name of an earlier one."""
    numbers: dict[str, int] = {}
    for number, node in enumerate(nodes, start=1):
        earlier = numbers.setdefault(node.name, number)
        if earlier != number:
            yield f"[[node]] {number}: name is {node.name!r}, as that of [[node]] {earlier}"


def _shared_ports(plan: Plan) -> Iterator[str]:
    """Yield the mistakes of programs that have the address and the port of another one."""
    owners: dict[tuple[str, int], str] = {}
    places = [
        *(
            (f"[[node]] {number}: {name}", node.address, getattr(node, name))
            for number, node in enumerate(plan.nodes, start=1)
            for name in ("postgres", "patroni", "etcd", "etcd_peer")
        ),
        ("[haproxy] port", plan.haproxy.address, plan.haproxy.port),
        ("[pgbouncer] port", plan.pgbouncer.address, plan.pgbouncer.port),
    ]
    for label, address, port in places:
        earlier = owners.setdefault((address, port), label)
        if earlier != label:
            yield f"{label} is {port} on {address}, as that of {earlier}"
