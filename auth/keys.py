"""Signing keys kept in a file, one a line, newest first."""

import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_KEY_BYTES = 32


class KeysFileError(Exception):
    """The keys file cannot be used; the message says why and what to do."""


def read_keys(file: Path) -> tuple[str, ...]:
    """Return the keys in a file, newest first, one a line.

    Raises KeysFileError where it is missing, empty, or can be read by others. A file that
    root hands in may be readable by its group: systemd's credentials are.
    """
    try:
        with file.open(encoding="ascii") as stream:
            status = os.fstat(stream.fileno())
            keys = tuple(stream.read().split())
    except (OSError, UnicodeError) as error:
        raise KeysFileError(f"{file} cannot be read: set SECRET_KEYS, or mend it.") from error
    # The mask of an access list shows as the group's right to read.
    is_handed_in = status.st_uid == 0 != os.geteuid()
    if stat.S_IMODE(status.st_mode) & (0o037 if is_handed_in else 0o077):
        raise KeysFileError(f"{file} can be read by others: chmod 600 it.")
    if not keys or any(len(key) < _KEY_BYTES for key in keys):
        raise KeysFileError(
            f"{file} must hold keys of at least {_KEY_BYTES} characters, one a line."
        )
    return keys


def read_or_create_keys(file: Path) -> tuple[str, ...]:
    """Return the keys in a file, making it with one key, mode 0600, where it is missing.

    Several processes may start at once: the file appears whole, and the first one wins.
    """
    if not file.exists():
        with _faults_of(file), _only_one(file):
            if not file.exists():
                _replace(file, [_new_key()])
    return read_keys(file)


class KeysFile:
    """A keys file that may change while a server runs."""

    def __init__(self, file: Path, read: Callable[[Path], tuple[str, ...]] = read_keys) -> None:
        """Read a file with ``read``, which raises KeysFileError where a key is not good."""
        self._file = file
        self._read = read
        self._seen = self._look()

    def read(self) -> tuple[str, ...]:
        """Return the keys that are there now; raises KeysFileError."""
        self._seen = self._look()
        return self._read(self._file)

    def read_changed(self) -> tuple[str, ...] | None:
        """Return the keys where the file is another one than was read last, and a good one."""
        if self._look() == self._seen:
            return None
        with suppress(KeysFileError):
            return self.read()
        return None

    def _look(self) -> tuple[int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


def add_key(file: Path) -> str:
    """Put a new key first in a file, which is made where it is missing; return the key."""
    with _faults_of(file), _only_one(file):
        key = _new_key()
        _replace(file, [key, *(read_keys(file) if file.exists() else ())])
    return key


def remove_keys(file: Path, dropped: Collection[str]) -> None:
    """Take keys out of a file."""
    with _faults_of(file), _only_one(file):
        _replace(file, [key for key in read_keys(file) if key not in dropped])


def _new_key() -> str:
    return secrets.token_urlsafe(_KEY_BYTES)


def _replace(file: Path, keys: Sequence[str]) -> None:
    """Write a file anew: whoever reads it sees the old one or the new one, whole."""
    with _written(file, keys) as made:
        # The server reads it as the user that it, or its folder, belongs to, whoever writes it.
        is_there = file.exists()
        owner = (file if is_there else file.parent).stat()
        if os.geteuid() == 0:
            os.chown(made, owner.st_uid, owner.st_gid)
        if is_there:
            made.chmod(stat.S_IMODE(owner.st_mode))
        made.replace(file)
        _sync_folder(file.parent)


@contextmanager
def _written(file: Path, keys: Sequence[str]) -> Iterator[Path]:
    """Yield a file of mode 0600 beside another one, with keys in it; it is gone afterwards."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    made = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write("".join(f"{key}\n" for key in keys))
            stream.flush()
            os.fsync(stream.fileno())
        yield made
    finally:
        made.unlink(missing_ok=True)


@contextmanager
def _only_one(file: Path) -> Iterator[None]:
    """Wait until nobody else changes the file; a lock on it would go when it is replaced."""
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextmanager
def _faults_of(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeysFileError(
            f"{file} cannot be made ({error.strerror}): give access there, set"
            " tokens.keys_file to another place, or set SECRET_KEYS."
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
