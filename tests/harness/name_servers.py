"""Name servers that tests let answer."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from unittest.mock import patch

_LIMIT_SECONDS = 20


class NameServers:
    """Answers the resolutions of this process; none for ``silent`` names until ``release()``.

    ``addresses`` are those of each name, separated by commas. Names without any fail for now, and
    ``removed`` ones do not exist. ``asked`` lists the names of all resolutions.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self.silent: set[str] = set()
        self.removed: set[str] = set()
        self.asked: list[str] = []
        self._released = Event()

    def release(self) -> None:
        """Answer every name."""
        self.silent.clear()
        self._released.set()

    def resolve(self, name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        self.asked.append(name)
        if name in self.silent:
            assert self._released.wait(_LIMIT_SECONDS)
        if name in self.removed:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if name not in self.addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(0, 0, 0, "", (each, 0)) for each in self.addresses[name].split(",")]


@contextmanager
def name_servers(**addresses: str) -> Iterator[NameServers]:
    """Replace the name servers for the duration of the block."""
    servers = NameServers()
    servers.addresses.update(addresses)
    with patch.object(socket, "getaddrinfo", servers.resolve):
        try:
            yield servers
        finally:
            servers.release()
