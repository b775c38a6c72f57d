"""The IP addresses of host names.

The event loop resolves names in a few threads. Each name that the name servers do not answer would
occupy one, also after its caller gave up, and delay the end of the process. Here a name has one
thread at a time, which nothing waits for.
"""

import asyncio
import socket
from concurrent.futures import Future
from threading import Thread

# After which the earlier addresses of a name are used: name servers need milliseconds.
_PATIENCE_SECONDS = 0.5


class HostNames:
    """Resolves host names: each once at a time, however many callers wait for it."""

    def __init__(self) -> None:
        self._last: dict[str, Future[list[str]]] = {}
        self._known: dict[str, list[str]] = {}

    async def resolve(self, name: str) -> list[str]:
        """Return the addresses of a name; raises OSError, or UnicodeError if it is invalid.

        They are the earlier ones if the name servers do not answer soon.
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
            # A caller that gives up cannot cancel it for the others.
            last.set_running_or_notify_cancel()
            Thread(target=self._look_up, args=(name, last), name="resolve", daemon=True).start()
            # Only now: nothing would end a resolution whose thread cannot start.
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
