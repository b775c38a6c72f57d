"""Signing keys in a file, one per line, newest first."""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_KEY_BYTES = 32
_SETTING = "tokens.keys_file"


class KeysFileError(Exception):
    """The keys file cannot be used; the message gives the reason and the remedy."""


class KeysFileNotWritten(KeysFileError):
    """The keys file cannot be created or replaced, perhaps only because the disk is full."""


def read_keys(file: Path) -> tuple[str, ...]:
    """Return the keys in a file, newest first.

    Raises KeysFileError if the file is missing, empty, or readable by others. A file of root
    may be readable by its group: systemd's credentials are.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise _unreadable(file) from error
    return _read(file, descriptor)


def _read(file: Path, descriptor: int) -> tuple[str, ...]:
    try:
        with os.fdopen(descriptor, encoding="utf-8-sig") as stream:
            status = os.fstat(stream.fileno())
            keys = tuple(stream.read().split())
        for key in keys:
            key.encode("ascii")
    except (OSError, UnicodeError) as error:
        raise _unreadable(file) from error
    # First: if the setting names another file by mistake, the mode of that file must not change.
    if not keys or any(len(key) < _KEY_BYTES for key in keys):
        must = f"must contain keys of at least {_KEY_BYTES} characters, one per line."
        raise KeysFileError(f"{_SETTING} {file} {must}")
    # The mask of an access control list appears as the permission of the group.
    is_credential = status.st_uid == 0 != os.geteuid()
    if stat.S_IMODE(status.st_mode) & (0o037 if is_credential else 0o077):
        raise KeysFileError(f"{_SETTING} {file} can be read by others: chmod 600 it.")
    return keys


def read_or_create_keys(file: Path) -> tuple[str, ...]:
    """Return the keys in a file; create it with one key, mode 0600, if it is missing.

    Several processes may start at once: the file is created atomically, and the first one wins.
    """
    with _file_errors(file):
        if not file.exists():
            with _locked(file) as directory:
                if _status(file, directory) is None:
                    _replace(file, [_new_key()], directory)
    return read_keys(file)


def check_keys(file: Path) -> None:
    """Raise the KeysFileError that read_or_create_keys would raise, and create nothing."""
    with _file_errors(file):
        if not file.exists():
            _check_creation(file)
            return
    read_keys(file)


def _check_creation(file: Path) -> None:
    """Raise an error if a file that is missing cannot be created."""
    if file.is_symlink():
        raise _link(file)
    folder = next(each for each in file.absolute().parents if each.exists())
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


class KeysFile:
    """A keys file that may change while a server runs."""

    def __init__(self, file: Path, read: Callable[[Path], tuple[str, ...]] = read_keys) -> None:
        """Read a file with ``read``, which raises KeysFileError if a key is not valid."""
        self._file = file
        self._read = read
        # Unknown until the first reading: the caller read the keys earlier, and the file may have
        # changed since.
        self._version: tuple[int, int] | None = None

    def read(self) -> tuple[str, ...]:
        """Return the keys that the file contains now; raises KeysFileError."""
        self._version = self._current_version()
        return self._read(self._file)

    def read_changed(self) -> tuple[str, ...] | None:
        """Return the keys if the file is valid and has changed since the last reading, if any."""
        if self._current_version() == self._version:
            return None
        with suppress(KeysFileError):
            return self.read()
        return None

    def _current_version(self) -> tuple[int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


def add_key(file: Path) -> str:
    """Insert a new key at the top of a file, created if it is missing; return the key."""
    with _file_errors(file), _locked(file) as directory:
        key = _new_key()
        _replace(file, [key, *_read_in(file, directory)], directory)
    return key


def remove_keys(file: Path, removed: Collection[str]) -> None:
    """Remove keys from a file."""
    with _file_errors(file), _locked(file) as directory:
        kept = [key for key in _read_in(file, directory) if key not in removed]
        _replace(file, kept, directory)


def _new_key() -> str:
    return secrets.token_urlsafe(_KEY_BYTES)


def _replace(file: Path, keys: Sequence[str], directory: int) -> None:
    """Replace a file atomically: a reader sees the old one or the new one, complete.

    ``directory`` is its open directory. It may belong to another user, who can create links there:
    names are resolved in it only, and permissions are set on the open file, not on a name.
    """
    draft = f".{file.name}.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(draft, flags, 0o600, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write("".join(f"{key}\n" for key in keys))
            stream.flush()
            _copy_owner(stream.fileno(), file, directory)
            os.fsync(stream.fileno())
        os.rename(draft, file.name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(draft, dir_fd=directory)
        raise
    os.fsync(directory)


def _copy_owner(created: int, file: Path, directory: int) -> None:
    """Give a new file the mode and the owner of the old one, or the owner of the directory.

    The server reads it as that user, whichever user writes it.
    """
    old = _status(file, directory)
    owner = old or os.fstat(directory)
    if os.geteuid() == 0:
        os.fchown(created, owner.st_uid, owner.st_gid)
    if old is not None:
        os.fchmod(created, stat.S_IMODE(old.st_mode))


def _status(file: Path, directory: int) -> os.stat_result | None:
    """Return the status of a file, or None if it is missing; raises KeysFileError for a link."""
    try:
        status = os.stat(file.name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        # A link may point to keys of another user, which its creator would then be able to read.
        raise _link(file)
    return status


def _link(file: Path) -> KeysFileError:
    return KeysFileError(f"{_SETTING} {file} is a link, or not a file: name the file itself.")


def _read_in(file: Path, directory: int) -> tuple[str, ...]:
    """Return the keys of a file in its open directory, none if the file is missing."""
    if _status(file, directory) is None:
        return ()
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    return _read(file, os.open(file.name, flags, dir_fd=directory))


def _unreadable(file: Path) -> KeysFileError:
    return KeysFileError(f"{_SETTING} {file} cannot be read: set SECRET_KEYS, or repair it.")


@contextmanager
def _locked(file: Path) -> Iterator[int]:
    """Yield the open directory, locked against other changes to the file.

    A lock on the file itself would be lost when the file is replaced.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(directory)


@contextmanager
def _file_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeysFileNotWritten(
            f"{_SETTING} {file} cannot be written ({error.strerror}): grant access to it, name"
            " another path, or set SECRET_KEYS."
        ) from error
