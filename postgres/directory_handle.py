"""Files in a folder that belongs to another user, handled by root: no link of theirs is followed.

A folder is opened once, name by name from the root folder, and all that follows goes by its
descriptor: it does not matter what the path leads to afterwards.
"""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# A pipe or a terminal in the place of a file must neither stop us nor become ours.
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_MOST_BYTES = 65_536


@dataclass(frozen=True)
class DirectoryHandle:
    """An open folder; ``owners`` are the users whose files in it are used."""

    descriptor: int
    path: Path
    owners: frozenset[int]

    def names(self) -> set[str]:
        """Return what is in it."""
        with os.scandir(self.descriptor) as entries:
            return {entry.name for entry in entries}

    def modified(self, name: str) -> float | None:
        """Return when an entry was last written to, or None where there is none."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return None

    def has(self, name: str) -> bool:
        """Tell whether there is an entry of a name, be it a link that leads nowhere."""
        return self.modified(name) is not None

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Open a plain file of an owner's that has no other name; raises OSError."""
        descriptor = os.open(name, flags | _FILE, dir_fd=self.descriptor)
        status = os.fstat(descriptor)
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_nlink > 1
            or status.st_uid not in self.owners
        ):
            os.close(descriptor)
            raise PermissionError(f"{self.path / name} is no plain file of the folder's owner")
        return descriptor

    def read(self, name: str) -> str | None:
        """Return the end of a text, or None where there is none; raises OSError."""
        try:
            descriptor = self.open(name)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as stream:
            stream.seek(max(0, os.fstat(descriptor).st_size - _MOST_BYTES))
            return stream.read(_MOST_BYTES).decode(errors="replace")

    def create(self, name: str, uid: int, gid: int) -> int:
        """Make a file, private to a user, for reading and writing; raises FileExistsError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        descriptor = os.open(name, flags | _FILE, 0o600, dir_fd=self.descriptor)
        if os.geteuid() == 0:
            os.fchown(descriptor, uid, gid)
        return descriptor

    def write(self, name: str, text: str, uid: int, gid: int) -> None:
        """Put a new file, private to a user, in place of what has the name; it appears whole."""
        # Nobody can have put anything where nobody knows the name.
        draft = f".{name}.{secrets.token_hex(16)}.new"
        try:
            with os.fdopen(self.create(draft, uid, gid), "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            self.rename(draft, name)
        except OSError:
            self.remove(draft)
            raise
        self.sync()

    def rename(self, name: str, new_name: str) -> None:
        """Give an entry another name in the same folder."""
        os.rename(name, new_name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Remove a file, or a link itself, where there is one."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def sync(self) -> None:
        """Have its names on the disk."""
        os.fsync(self.descriptor)

    @contextmanager
    def below(self, name: str) -> Iterator["DirectoryHandle"]:
        """Open a folder in it, of the same owners."""
        descriptor = os.open(name, _FOLDER, dir_fd=self.descriptor)
        with _held(descriptor, self.path / name, self.owners) as folder:
            yield folder


@contextmanager
def hold(path: Path, owners: frozenset[int]) -> Iterator[DirectoryHandle]:
    """Open a folder that belongs to one of some users; raises OSError."""
    with _held(open_directory_descriptor(path), path, owners) as folder:
        yield folder


@contextmanager
def _held(descriptor: int, path: Path, owners: frozenset[int]) -> Iterator[DirectoryHandle]:
    try:
        if os.fstat(descriptor).st_uid not in owners:
            raise PermissionError(f"{path} belongs to somebody else")
        yield DirectoryHandle(descriptor, path, owners)
    finally:
        os.close(descriptor)


def open_directory_descriptor(path: Path, *, make: bool = False) -> int:
    """Open a folder at a path without links, having made what is missing of it."""
    if os.geteuid() != 0:
        # Somebody else's folders above it may let us through, and not be opened.
        if make:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, _FOLDER)
    descriptor = os.open("/", _FOLDER)
    names = path.parts[1:]
    for position, name in enumerate(names, 1):
        above = descriptor
        try:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700 if position == len(names) else 0o777, dir_fd=above)
            descriptor = os.open(name, _FOLDER, dir_fd=above)
        finally:
            os.close(above)
    return descriptor
