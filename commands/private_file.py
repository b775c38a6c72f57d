"""Files with secrets: new ones that only their owner can read, and standard output."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from commands.administrator import AlreadyExists

STANDARD_OUTPUT = "-"


@contextmanager
def new_private_file(path: Path) -> Iterator[BinaryIO]:
    """Create and yield a file with mode 0600; it must not exist yet.

    If the block fails, the file is removed: a partial file could be mistaken for a complete one.
    """
    with file_errors(path):
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise _already_exists(path) from None
        try:
            with os.fdopen(number, "wb") as target:
                yield target
        except BaseException:
            path.unlink()
            raise


def check_new_file(path: Path) -> None:
    """Check that new_private_file() could create a file, without creating it."""
    if os.path.lexists(path):
        raise _already_exists(path)
    with file_errors(path):
        path.parent.stat()
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _already_exists(path: Path) -> AlreadyExists:
    return AlreadyExists(f"{path} already exists: choose another name.")


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Yield standard output; raises UsageError if it is a terminal."""
    target = sys.stdout.buffer
    if target.isatty():
        raise click.UsageError("Standard output is a terminal: name a file, or use a pipe.")
    with file_errors(Path("standard output")):
        yield target


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Name the file that cannot be read or written, and the reason."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(fault_of_file(path, error)) from None


def fault_of_file(file: str | Path, error: OSError) -> str:
    """Return why a file cannot be read or written, as a sentence."""
    return f"{file}: {error.strerror or error}."
