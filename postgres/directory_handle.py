"""Files in a directory of another user, for root: no symlink of that user is followed.

A directory is opened once, name by name from the root directory, and then used through its
descriptor: later changes of the path have no effect.
"""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# A named pipe must not block, and a terminal must not become our controlling terminal.
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_MAX_BYTES = 65_536


@dataclass(frozen=True)
class DirectoryHandle:
    """An open directory; only files of ``owners`` in it are used."""

    descriptor: int
    path: Path
    owners: frozenset[int]

    def names(self) -> set[str]:
        """Return the names of the entries."""
        with os.scandir(self.descriptor) as entries:
            return {entry.name for entry in entries}

    def modified(self, name: str) -> float | None:
        """Return when an entry was last modified, or None if it does not exist."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return None

    def has(self, name: str) -> bool:
        """Return whether an entry exists, even if it is a dangling symlink."""
        return self.modified(name) is not None

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Open a regular file of an owner that has only one link; raises OSError."""
        descriptor = os.open(name, flags | _FILE, dir_fd=self.descriptor)
        status = os.fstat(descriptor)
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_nlink > 1
            or status.st_uid not in self.owners
        ):
            os.close(descriptor)
            raise PermissionError(
                f"{self.path / name} is not a regular file of the directory's owner"
            )
        return descriptor

    def read(self, name: str) -> str | None:
        """Return the last part of a text file, or None if it does not exist; raises OSError."""
        try:
            descriptor = self.open(name)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as stream:
            stream.seek(max(0, os.fstat(descriptor).st_size - _MAX_BYTES))
            return stream.read(_MAX_BYTES).decode(errors="replace")

    def create(self, name: str, uid: int, gid: int) -> int:
        """Create a file, private to a user, and open it; raises FileExistsError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        descriptor = os.open(name, flags | _FILE, 0o600, dir_fd=self.descriptor)
        if os.geteuid() == 0:
            os.fchown(descriptor, uid, gid)
        return descriptor

    def write(self, name: str, text: str, uid: int, gid: int) -> None:
        """Create or replace a file, private to a user, atomically and durably."""
        # No other process can have created an entry with an unpredictable name.
        temporary = f".{name}.{secrets.token_hex(16)}.new"
        try:
            with os.fdopen(self.create(temporary, uid, gid), "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            self.rename(temporary, name)
        except OSError:
            self.remove(temporary)
            raise
        self.sync()

    def rename(self, name: str, new_name: str) -> None:
        """Rename an entry within the directory."""
        os.rename(name, new_name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Remove a file, or a symlink itself, if it exists."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def sync(self) -> None:
        """Flush the entries to disk."""
        os.fsync(self.descriptor)

    @contextmanager
    def subdirectory(self, name: str) -> Iterator["DirectoryHandle"]:
        """Open a subdirectory with the same owners."""
        descriptor = os.open(name, _DIRECTORY, dir_fd=self.descriptor)
        with _closing(descriptor, self.path / name, self.owners) as handle:
            yield handle


@contextmanager
def open_directory(path: Path, owners: frozenset[int]) -> Iterator[DirectoryHandle]:
    """Open a directory that belongs to one of ``owners``; raises OSError."""
    with _closing(open_directory_descriptor(path), path, owners) as handle:
        yield handle


@contextmanager
def _closing(descriptor: int, path: Path, owners: frozenset[int]) -> Iterator[DirectoryHandle]:
    try:
        if os.fstat(descriptor).st_uid not in owners:
            raise PermissionError(f"{path} belongs to another user")
        yield DirectoryHandle(descriptor, path, owners)
    finally:
        os.close(descriptor)


def open_directory_descriptor(path: Path, *, make: bool = False) -> int:
    """Open a directory at a path without symlinks; with ``make``, create missing directories."""
    if os.geteuid() != 0:
        # Parent directories of other users may permit traversal, but not opening.
        if make:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, _DIRECTORY)
    descriptor = os.open("/", _DIRECTORY)
    names = path.parts[1:]
    for position, name in enumerate(names, 1):
        parent = descriptor
        try:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700 if position == len(names) else 0o777, dir_fd=parent)
            descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        finally:
            os.close(parent)
    return descriptor
