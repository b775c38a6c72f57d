"""Files that are there when they are complete, and never before; and old ones that go."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from commands.administrator import AlreadyThere

_NAME = re.compile(r"userauth-\d{8}T\d{6}Z\.dump")


def name_at(time: datetime) -> str:
    """Return the name of a backup made at a time; names sort as their times do."""
    return f"userauth-{time.astimezone(UTC):%Y%m%dT%H%M%SZ}.dump"


@contextmanager
def complete_file(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Yield a file, readable to nobody else, that becomes ``path`` when the block has ended well.

    A block that fails leaves nothing; a process that is killed, a file whose name ends in .part.
    """
    # A device, or a folder, is not to be replaced, whatever is said.
    if path.exists() and not (overwrite and path.is_file()):
        raise _already_there(path)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(number)
    part = Path(name)
    try:
        with part.open("wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        if not overwrite:
            _claim(path)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def remove_old(folder: Path, *, keep: int) -> list[Path]:
    """Remove all but so many of the newest backups in a folder; return what was removed."""
    backups = sorted(entry for entry in folder.iterdir() if _NAME.fullmatch(entry.name))
    removed = backups[:-keep]
    for path in removed:
        path.unlink()
    return removed


def _claim(path: Path) -> None:
    """Make an empty file, unless somebody else made one meanwhile."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise _already_there(path) from None


def _already_there(path: Path) -> AlreadyThere:
    return AlreadyThere(f"{path} is there already: name another, or say --overwrite of a file.")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
