"""Signing keys kept in a file, one a line, newest first."""

import fcntl
import os
import secrets
import stat
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
        descriptor = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise _unreadable(file) from error
    return _read(file, descriptor)


def _read(file: Path, descriptor: int) -> tuple[str, ...]:
    try:
        with os.fdopen(descriptor, encoding="ascii") as stream:
            status = os.fstat(stream.fileno())
            keys = tuple(stream.read().split())
    except (OSError, UnicodeError) as error:
        raise _unreadable(file) from error
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
        with _faults_of(file), _only_one(file) as folder:
            if _status(file, folder) is None:
                _replace(file, [_new_key()], folder)
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
    with _faults_of(file), _only_one(file) as folder:
        key = _new_key()
        _replace(file, [key, *_read_there(file, folder)], folder)
    return key


def remove_keys(file: Path, dropped: Collection[str]) -> None:
    """Take keys out of a file."""
    with _faults_of(file), _only_one(file) as folder:
        kept = [key for key in _read_there(file, folder) if key not in dropped]
        _replace(file, kept, folder)


def _new_key() -> str:
    return secrets.token_urlsafe(_KEY_BYTES)


def _replace(file: Path, keys: Sequence[str], folder: int) -> None:
    """Write a file anew: whoever reads it sees the old one or the new one, whole.

    ``folder`` is its open folder. That may belong to another user, who puts links there: a name is
    looked up in it alone, and rights are given to what is open, not to what has a name.
    """
    draft = f".{file.name}.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(draft, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write("".join(f"{key}\n" for key in keys))
            stream.flush()
            _give_away(stream.fileno(), file, folder)
            os.fsync(stream.fileno())
        os.rename(draft, file.name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(draft, dir_fd=folder)
        raise
    os.fsync(folder)


def _give_away(made: int, file: Path, folder: int) -> None:
    """Give a new file the mode of the old one, and to its owner, or to that of the folder.

    The server reads it as that user, whoever writes it.
    """
    old = _status(file, folder)
    owner = old or os.fstat(folder)
    if os.geteuid() == 0:
        os.fchown(made, owner.st_uid, owner.st_gid)
    if old is not None:
        os.fchmod(made, stat.S_IMODE(old.st_mode))


def _status(file: Path, folder: int) -> os.stat_result | None:
    """Return what a file is, or None where there is none; raises KeysFileError for a link."""
    try:
        status = os.stat(file.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        # The keys behind it may be another one's, and would be copied to whoever made the link.
        raise KeysFileError(f"{file} is a link, or no file: name the file itself.")
    return status


def _read_there(file: Path, folder: int) -> tuple[str, ...]:
    """Return the keys of a file in its open folder, none where it is missing."""
    if _status(file, folder) is None:
        return ()
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    return _read(file, os.open(file.name, flags, dir_fd=folder))


def _unreadable(file: Path) -> KeysFileError:
    return KeysFileError(f"{file} cannot be read: set SECRET_KEYS, or mend it.")


@contextmanager
def _only_one(file: Path) -> Iterator[int]:
    """Yield the open folder once nobody else changes the file in it.

    A lock on the file itself would go when it is replaced.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield folder
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
