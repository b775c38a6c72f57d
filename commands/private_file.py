"""Files with secrets: new ones that only their owner can read, and standard output."""

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
    """Create a file with mode 0600 for the length of a block, which must not exist.

    A block that fails leaves nothing: a partial file could be mistaken for a complete one.
    """
    with file_errors(path):
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise AlreadyExists(f"{path} already exists: choose another name.") from None
        try:
            with os.fdopen(number, "wb") as target:
                yield target
        except BaseException:
            path.unlink()
            raise


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
        raise click.ClickException(f"{path}: {error.strerror or error}") from None
