"""A network of the nodes, each in its own namespace, so that one can be cut off."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from postgres.programs import Account
from soak.cluster import SoakError

# The prefix for measurements of networks (RFC 2544): no host has an address in it.
_PREFIX = "198.18"
_FIRST_HOST = 11
_NEEDED = ("ip", "nsenter", "setpriv")


class NetworkUnavailableError(SoakError):
    """This machine allows no network namespaces; the message is the reason."""


class Network:
    """A bridge, to which a cable connects each node; this host has an address there, too."""

    def __init__(self, names: Sequence[str]) -> None:
        # Concurrent runs have separate networks.
        self._run = os.getpid()
        self._subnet = f"{_PREFIX}.{self._run % 256}"
        self._addresses = {
            name: f"{self._subnet}.{host}" for host, name in enumerate(names, start=_FIRST_HOST)
        }

    @property
    def range(self) -> str:
        """Return the addresses of the network."""
        return f"{self._subnet}.0/24"

    def address(self, name: str) -> str:
        """Return the address of a node."""
        return self._addresses[name]

    def command(self, name: str, account: Account) -> list[str]:
        """Return the beginning of a command that runs in the network of a node, as a user."""
        user = (f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups")
        return ["nsenter", f"--net=/run/netns/{self._namespace(name)}", "setpriv", *user, "--"]

    def cut(self, name: str) -> None:
        """Pull the cable of a node: nothing goes in or out, and no connection gets an error."""
        _ip("link", "set", self._cable(name), "down")

    def heal(self, name: str) -> None:
        """Reconnect the cable of a node."""
        _ip("link", "set", self._cable(name), "up")

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Create the network, and remove it after the block; raises NetworkUnavailableError."""
        with ExitStack() as stack:
            _ip("link", "add", self._bridge, "type", "bridge")
            stack.callback(_ip, "link", "delete", self._bridge)
            _ip("address", "add", f"{self._subnet}.1/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for name in self._addresses:
                _ip("netns", "add", self._namespace(name))
                stack.callback(_ip, "netns", "delete", self._namespace(name))
                self._connect(name)
            yield

    def _connect(self, name: str) -> None:
        namespace, cable = self._namespace(name), self._cable(name)
        other_end = ("peer", "name", "eth0", "netns", namespace)
        _ip("link", "add", cable, "type", "veth", *other_end)
        _ip("link", "set", cable, "master", self._bridge, "up")
        _ip("-n", namespace, "address", "add", f"{self.address(name)}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", device, "up")

    @property
    def _bridge(self) -> str:
        return f"soak{self._run}"

    def _cable(self, name: str) -> str:
        return f"{self._bridge}{name}"

    def _namespace(self, name: str) -> str:
        return f"userauth-{self._bridge}-{name}"


@contextmanager
def running_network(names: Sequence[str]) -> Iterator[Network]:
    """Run a network; raises NetworkUnavailableError."""
    if os.geteuid() != 0:
        raise NetworkUnavailableError("only root can create a network namespace")
    if missing := [program for program in _NEEDED if shutil.which(program) is None]:
        raise NetworkUnavailableError(f"{', '.join(missing)} is missing")
    network = Network(names)
    with network.opened():
        yield network


def _ip(*arguments: str) -> None:
    program = shutil.which("ip") or "ip"
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise NetworkUnavailableError(f"ip {' '.join(arguments)}: {ended.stderr.strip()}")
