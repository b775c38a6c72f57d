"""Directories of tests in memory, where fsync takes no time."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.harness.shared_memory import remove_shared_memory

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made below it
_PREFIX = "userauth-"
_ENOUGH_BYTES = 2 * 1024**3


@contextmanager
def new_directory() -> Iterator[str]:
    """Create a directory for clusters, in memory if possible.

    The user of Postgres can access it. Directories below that of pytest are accessible only to
    their owner after its next run.
    """
    with TemporaryDirectory(prefix=_PREFIX, dir=_memory_directory()) as folder:
        try:
            yield folder
        finally:
            remove_shared_memory(Path(folder))


def new_program_directory() -> "TemporaryDirectory[str]":
    """Create a directory for programs, in memory if possible.

    Creating a thousand files on a disk takes twenty times as long.
    """
    place = _memory_directory()
    # Containers often mount it without the permission to execute programs.
    may_execute = place is not None and not os.statvfs(place).f_flag & os.ST_NOEXEC
    return TemporaryDirectory(prefix=_PREFIX, dir=place if may_execute else None)


def new_socket_directory() -> "TemporaryDirectory[str]":
    """Create a directory for Unix sockets: their paths have at most 107 bytes.

    That of the directory for temporary files may be longer.
    """
    place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    return TemporaryDirectory(prefix=_PREFIX, dir=place)


def _memory_directory() -> Path | None:
    """Return a directory in memory, or None if none is large enough."""
    if not SHARED_MEMORY.is_dir() or shutil.disk_usage(SHARED_MEMORY).free < _ENOUGH_BYTES:
        return None
    return SHARED_MEMORY
