"""The IP addresses of host names.

The event loop resolves names in a few threads. Each name for which the name servers do not respond
would occupy one, even after its caller gave up, and delay the exit of the process. Here each name
has one thread at a time, which nothing waits for.
"""

import asyncio
import socket
from concurrent.futures import Future
from threading import Thread
from typing import Any

# Much longer than name servers need: milliseconds.
_PATIENCE_SECONDS = 0.5


class HostNames:
    """Resolves host names: each once at a time, however many callers wait for it.

    After ``patience_seconds`` without an answer, the earlier addresses of a name are used.
    """

    def __init__(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._last: dict[str, Future[list[str]]] = {}
        self._known: dict[str, list[str]] = {}

    async def resolve(self, name: str) -> list[str]:
        """Return the IP addresses of a name; raises OSError, or UnicodeError if it is invalid.

        A link-local address has its zone, as in fe80::1%eth0. If the name servers do not respond
        soon, or no thread can be started, the addresses are the earlier ones.
        """
        known = self._known.get(name)
        try:
            async with asyncio.timeout(None if known is None else self._patience_seconds):
                return await asyncio.wrap_future(self._resolution(name))
        except TimeoutError:
            if known is None:
                raise
            return known
        except socket.gaierror as error:
            if known is None or error.errno != socket.EAI_AGAIN:
                raise
            return known

    def _resolution(self, name: str) -> "Future[list[str]]":
        """Return the running resolution of a name, or begin one; raises OSError."""
        last = self._last.get(name)
        if last is None or last.done():
            last = Future()
            # So that a caller that gives up cannot cancel it for the others.
            last.set_running_or_notify_cancel()
            thread = Thread(target=self._look_up, args=(name, last), name="resolve", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise socket.gaierror(socket.EAI_AGAIN, str(error)) from error
            # Only now: a resolution whose thread cannot start would never end.
            self._last[name] = last
        return last

    def _look_up(self, name: str, found: "Future[list[str]]") -> None:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            addresses = [_text_of(address) for *_, address in answers]
        except (OSError, ValueError) as error:
            found.set_exception(error)
        else:
            self._known[name] = addresses
            found.set_result(addresses)


def _text_of(address: tuple[Any, ...]) -> str:
    """Return an address of a socket as text, with the zone, which its first field lacks."""
    return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
