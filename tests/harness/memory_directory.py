"""Directories of tests in memory, where fsync takes no time.

A process holds a lock on each of its directories, which the kernel releases even if the process is
killed: see ``tests.harness.orphans``.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from tests.harness.shared_memory import remove_shared_memory

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made below it
PREFIX = "userauth-test-"
_ENOUGH_BYTES = 2 * 1024**3


@contextmanager
def new_directory() -> Iterator[str]:
    """Create a directory for clusters, in memory if possible.

    The user of Postgres can access it. A second run of pytest closes those below its own directory
    to other users.
    """
    with _locked_directory(_memory_directory()) as folder:
        try:
            yield folder
        finally:
            remove_shared_memory(Path(folder))


@contextmanager
def new_program_directory() -> Iterator[str]:
    """Create a directory for programs, in memory if possible.

    To create a thousand files on a disk takes twenty times as long.
    """
    place = _memory_directory()
    # Containers often mount it without the permission to execute programs.
    may_execute = place is not None and not os.statvfs(place).f_flag & os.ST_NOEXEC
    with _locked_directory(place if may_execute else None) as folder:
        yield folder


def new_socket_directory() -> "TemporaryDirectory[str]":
    """Create a directory for Unix sockets: their paths have at most 107 bytes.

    That of the directory for temporary files may be longer.
    """
    place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    return TemporaryDirectory(prefix="userauth-", dir=place)


@contextmanager
def locked(directory: Path, flags: int = 0) -> Iterator[None]:
    """Hold the lock of a directory for the block."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _locked_directory(place: Path | None) -> Iterator[str]:
    place = place or Path(gettempdir())
    with ExitStack() as stack:
        # Until it is locked, a search for orphans would remove it.
        with locked(place):
            directory = TemporaryDirectory(prefix=PREFIX, dir=place)
            stack.enter_context(locked(Path(directory.name)))
        stack.callback(directory.cleanup)
        yield directory.name


def _memory_directory() -> Path | None:
    """Return a directory in memory, or None if none is large enough."""
    if not SHARED_MEMORY.is_dir() or shutil.disk_usage(SHARED_MEMORY).free < _ENOUGH_BYTES:
        return None
    return SHARED_MEMORY
