"""The directory of the socket: the data directory, or a private one if the path is too long."""

import hashlib
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from postgres.data_directory import PRIVATE, DataDirectory
from postgres.directory_handle import open_directory
from postgres.programs import EmbeddedPostgresError

# The address of a socket has at most 107 bytes (103 on macOS), and libpq splits it at commas.
_USABLE_PATH = re.compile(r"[-+._/=@~ A-Za-z0-9]{1,85}")
_SHORT_PARENTS = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - see _claim


def choose_socket_directory(directory: DataDirectory) -> Path:
    """Return the data directory if its path is usable, or create a private directory."""
    if _USABLE_PATH.fullmatch(str(directory.path)):
        return directory.path
    for candidate in _candidates(directory):
        with suppress(OSError):  # the next candidate may be usable
            _claim(directory, candidate)
            return candidate
    raise EmbeddedPostgresError(
        f"The path {directory.path} is too long for a socket, and none of"
        f" {', '.join(map(str, _SHORT_PARENTS))} is usable instead: name a shorter one in"
        " database.embedded_dir, or set DATABASE_URL."
    )


def remove_socket_directory(directory: DataDirectory, path: Path) -> None:
    """Remove a private socket directory, if it is empty."""
    if path in _candidates(directory):
        with suppress(OSError), open_directory(path.parent, frozenset({0})) as parent:
            os.rmdir(path.name, dir_fd=parent.descriptor)


def _candidates(directory: DataDirectory) -> list[Path]:
    name = f"userauth-postgres-{hashlib.sha256(os.fsencode(directory.path)).hexdigest()[:16]}"
    return [parent / name for parent in _SHORT_PARENTS]


def _claim(directory: DataDirectory, path: Path) -> None:
    """Create a directory in a world-writable one, or verify that the existing one is private."""
    with suppress(FileExistsError):
        path.mkdir(mode=PRIVATE)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        owners = (directory.account.uid, os.geteuid())
        if status.st_uid not in owners or stat.S_IMODE(status.st_mode) != PRIVATE:
            raise PermissionError(f"{path} belongs to another user")
        if os.geteuid() == 0:
            os.fchown(descriptor, directory.account.uid, directory.account.gid)
    finally:
        os.close(descriptor)
