"""Signing keys kept in a file, made at the first start."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

_KEY_BYTES = 32


class KeysFileError(Exception):
    """The keys file cannot be used; the message says why and what to do."""


def read_keys(file: Path) -> tuple[str, ...]:
    """Return the keys in a file, newest first, one a line.

    Raises KeysFileError where it is missing, empty, or can be read by others.
    """
    try:
        mode = file.stat().st_mode
        keys = tuple(file.read_text(encoding="ascii").split())
    except (OSError, UnicodeError) as error:
        raise KeysFileError(f"{file} cannot be read: set SECRET_KEYS, or mend it.") from error
    if mode & 0o077:
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
        try:
            _create(file)
        except OSError as error:
            raise KeysFileError(
                f"{file} cannot be made ({error.strerror}): give access there, set"
                " tokens.keys_file to another place, or set SECRET_KEYS."
            ) from error
    return read_keys(file)


def _create(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    made = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_urlsafe(_KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(made, file)
    finally:
        made.unlink()
