"""The IP addresses of host names.

The event loop resolves names in a few threads. Each name for which the name servers do not respond
would occupy one, even after its caller gave up, and delay the exit of the process. Here each name
has one thread at a time, which nothing waits for.
"""

import asyncio
import socket
from concurrent.futures import Future
from threading import Thread

# After this time, the earlier addresses of a name are used: name servers need milliseconds.
_PATIENCE_SECONDS = 0.5


class HostNames:
    """Resolves host names: each once at a time, however many callers wait for it."""

    def __init__(self) -> None:
        self._last: dict[str, Future[list[str]]] = {}
        self._known: dict[str, list[str]] = {}

    async def resolve(self, name: str) -> list[str]:
        """Return the IP addresses of a name; raises OSError, or UnicodeError if it is invalid.

        If the name servers do not respond soon, the addresses are the earlier ones.
        """
        known = self._known.get(name)
        found = asyncio.wrap_future(self._resolution(name))
        if known is None:
            return await found
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await found
        except TimeoutError:
            return known
        except socket.gaierror as error:
            if error.errno != socket.EAI_AGAIN:
                raise
            return known

    def _resolution(self, name: str) -> "Future[list[str]]":
        """Return the running resolution of a name, or begin one."""
        last = self._last.get(name)
        if last is None or last.done():
            last = Future()
            # So that a caller that gives up cannot cancel it for the others.
            last.set_running_or_notify_cancel()
            Thread(target=self._look_up, args=(name, last), name="resolve", daemon=True).start()
            # Only now: a resolution whose thread cannot start would never end.
            self._last[name] = last
        return last

    def _look_up(self, name: str, found: "Future[list[str]]") -> None:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            addresses = [str(address[0]) for *_, address in answers]
        except (OSError, ValueError) as error:
            found.set_exception(error)
        else:
            self._known[name] = addresses
            found.set_result(addresses)
