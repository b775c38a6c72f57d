"""The event loop: uvloop's, with a repair that aiopg needs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVarTuple

import uvloop

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

Arguments = TypeVarTuple("Arguments")


class EventLoop(uvloop.Loop):
    """A uvloop that forgets what is left of a closed file when its number is used again.

    When a TCP connection to Postgres is refused, libpq closes the socket before aiopg takes its
    writer out of the loop. uvloop keeps the dead handle under the number, and would refuse
    every later connection that happens to get it.
    """

    def add_reader(
        self,
        fd: "FileDescriptorLike",
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
    ) -> None:
        """Call back when there is something to read (see asyncio)."""
        try:
            super().add_reader(fd, callback, *args)
        except RuntimeError:
            self.remove_reader(fd)
            self.remove_writer(fd)
            super().add_reader(fd, callback, *args)
