"""Files that appear only when they are complete, and the removal of old backups."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from commands.administrator import AlreadyExists

_NAME = re.compile(r"userauth-\d{8}T\d{6}Z\.dump")


def name_at(time: datetime) -> str:
    """Return the name of a backup made at a time; names sort by time."""
    return f"userauth-{time.astimezone(UTC):%Y%m%dT%H%M%SZ}.dump"


@contextmanager
def complete_file(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Yield a file with mode 0600 that becomes ``path`` when the block succeeds.

    A block that fails leaves nothing; a process that is killed leaves a file named ….part.
    """
    # --overwrite must not replace a device or a directory.
    if path.exists() and not (overwrite and path.is_file()):
        raise _already_exists(path)
    part = f".{path.name}.{secrets.token_hex(8)}.part"
    # Names are resolved in the open directory: its path may change meanwhile.
    with _open_folder(path.parent) as folder:
        try:
            with _new_file(path.parent / part, folder) as target:
                yield target
                target.flush()
                os.fsync(target.fileno())
            if not overwrite:
                _claim(path, folder)
            os.replace(part, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)
            raise
        os.fsync(folder)


def remove_old(folder: Path, *, keep: int) -> list[Path]:
    """Remove all but the newest backups in a directory; return the removed files."""
    with _open_folder(folder) as descriptor:
        with os.scandir(descriptor) as entries:
            backups = sorted(entry.name for entry in entries if _NAME.fullmatch(entry.name))
        removed = backups[:-keep]
        for name in removed:
            os.unlink(name, dir_fd=descriptor)
    return [folder / name for name in removed]


@contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _new_file(path: Path, folder: int) -> BinaryIO:
    """Create a file in an open directory; its ``name`` is the path, which readers need."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(path.name, flags, 0o600, dir_fd=folder)
    return open(path, "wb", opener=lambda _path, _flags: descriptor)


def _claim(path: Path, folder: int) -> None:
    """Create an empty file; raises AlreadyExists if another process has created it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        os.close(os.open(path.name, flags, 0o600, dir_fd=folder))
    except FileExistsError:
        raise _already_exists(path) from None


def _already_exists(path: Path) -> AlreadyExists:
    return AlreadyExists(
        f"{path} already exists: choose another name, or pass --overwrite, which replaces only"
        " files."
    )
