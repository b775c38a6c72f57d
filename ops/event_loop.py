"""The event loop: that of uvloop, with a workaround that aiopg needs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVarTuple

import uvloop

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

Arguments = TypeVarTuple("Arguments")


class EventLoop(uvloop.Loop):
    """A uvloop that discards the stale handle of a closed file when its descriptor is reused.

    When a TCP connection to Postgres is refused, libpq closes the socket before aiopg removes its
    writer from the loop. uvloop keeps the stale handle, and would refuse every later connection
    that gets the same descriptor.
    """

    def add_reader(
        self,
        fd: "FileDescriptorLike",
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
    ) -> None:
        """Call back when the file is readable (see asyncio)."""
        try:
            super().add_reader(fd, callback, *args)
        except RuntimeError:
            self.remove_reader(fd)
            self.remove_writer(fd)
            super().add_reader(fd, callback, *args)
