"""The event loop: uvloop, with two workarounds that the connections to Postgres need."""

import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVarTuple

import uvloop

if TYPE_CHECKING:
    from socket import socket

    from _typeshed import FileDescriptorLike, ReadableBuffer

Arguments = TypeVarTuple("Arguments")


class EventLoop(uvloop.Loop):
    """A uvloop loop that keeps reporting a socket in an error state, and discards stale handles.

    libuv calls back only once for a file with an error, such as a socket that its peer closed
    before it had read everything, although the callback may have read only a part.

    When a TCP connection to Postgres is refused, libpq closes the socket before aiopg removes its
    writer from the loop. uvloop keeps the stale handle, and would reject every later connection
    that gets the same descriptor.
    """

    def __init__(self) -> None:
        super().__init__()
        self._readers: dict[FileDescriptorLike, Callable[[], None]] = {}

    def add_reader(
        self,
        fd: "FileDescriptorLike",
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
    ) -> None:
        """Call back when the file is readable (see asyncio)."""

        def call_back() -> None:
            callback(*args)
            if self._readers.get(fd) is call_back and _has_error(fd):
                self.remove_reader(fd)
                self.add_reader(fd, callback, *args)

        try:
            super().add_reader(fd, call_back)
        except RuntimeError:
            self._discard_handle(fd)
            super().add_reader(fd, call_back)
        self._readers[fd] = call_back

    # The stubs of asyncio and of uvloop differ in the type of the result, which is a bool.
    def remove_reader(self, fd: "FileDescriptorLike") -> None:  # type: ignore[override]
        """Stop calling back (see asyncio)."""
        self._readers.pop(fd, None)
        return super().remove_reader(fd)

    async def sock_connect(
        self, sock: "socket", address: "tuple[Any, ...] | str | ReadableBuffer"
    ) -> None:
        """Connect a socket (see asyncio)."""
        self._discard_handle(sock.fileno())
        await super().sock_connect(sock, address)

    def _discard_handle(self, fd: "FileDescriptorLike") -> None:
        self.remove_reader(fd)
        self.remove_writer(fd)


def _has_error(fd: "FileDescriptorLike") -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))
