"""Directories of tests in memory, where fsync takes no time."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made below it
_ENOUGH_BYTES = 2 * 1024**3


def new_directory(prefix: str = "userauth-") -> "TemporaryDirectory[str]":
    """Create a directory for clusters, in memory if possible.

    The user of Postgres can access it. A second run of pytest closes those below its own directory
    to other users.
    """
    return TemporaryDirectory(prefix=prefix, dir=memory_directory())


def new_program_directory() -> "TemporaryDirectory[str]":
    """Create a directory for programs, in memory if possible.

    To create a thousand files on a disk takes twenty times as long.
    """
    place = memory_directory()
    # Containers often mount it without the permission to execute programs.
    may_execute = place is not None and not os.statvfs(place).f_flag & os.ST_NOEXEC
    return TemporaryDirectory(prefix="userauth-", dir=place if may_execute else None)


def new_socket_directory() -> "TemporaryDirectory[str]":
    """Create a directory for Unix sockets: their paths have at most 107 bytes.

    That of the directory for temporary files may be longer.
    """
    place = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    return TemporaryDirectory(prefix="userauth-", dir=place)


def memory_directory() -> Path | None:
    """Return a directory in memory, or None if none is large enough."""
    if not _SHARED_MEMORY.is_dir() or shutil.disk_usage(_SHARED_MEMORY).free < _ENOUGH_BYTES:
        return None
    return _SHARED_MEMORY
