"""Whether more files can be opened: every connection is one."""

import asyncio
import errno
import os
from collections.abc import Callable

from ops.rare_warning import RareWarning

_INTERVAL_SECONDS = 1.0
# Some descriptors may be free although no connection is accepted: libuv keeps a reserve.
_WANTED = 4
# The limits of the process and of the host are reached.
_NONE_FREE = frozenset({errno.EMFILE, errno.ENFILE})
_MESSAGE = f"fewer than {_WANTED} files can be opened: connections may not be accepted"


class FreeFilesMonitor:
    """Warns once a minute while few or no files can be opened.

    uvloop does not report that it cannot accept a connection. ``clock`` is monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._warning = RareWarning(_MESSAGE, clock)
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_INTERVAL_SECONDS, self._repeat)

    def close(self) -> None:
        """Stop checking."""
        self._timer.cancel()

    def check(self) -> None:
        """Warn if few or no files can be opened."""
        opened = []
        try:
            for _ in range(_WANTED):
                opened.append(os.open(os.devnull, os.O_RDONLY))  # noqa: PERF401 - all are closed
        except OSError as error:
            if error.errno in _NONE_FREE:
                self._warning.log(cause=str(error.strerror))
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _repeat(self) -> None:
        self.check()
        self._timer = self._loop.call_later(_INTERVAL_SECONDS, self._repeat)
