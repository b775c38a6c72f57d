"""Writes messages to a folder, for development."""

import asyncio
import os
import re
import tempfile
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

from mail.errors import RelayFault
from mail.messages import KIND_FIELD

_UNSAFE = re.compile(r"[^A-Za-z0-9@._+-]")
_MAX_LENGTH = 150
_SUFFIX = ".eml"


class FolderRelay:
    """A folder with a file for each message: TIME-KIND-RECIPIENT.eml, readable by its owner."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        self._folder = folder
        self._now = now

    async def send(self, message: EmailMessage, recipient: str) -> None:
        """Write a message to a file; raise RelayFault."""
        time = f"{self._now().astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
        name = _UNSAFE.sub("_", f"{time}-{message[KIND_FIELD]}-{recipient}")[:_MAX_LENGTH]
        try:
            await asyncio.to_thread(self._write, name, _readable(message).as_bytes())
        except OSError as error:
            raise RelayFault(f"the folder of messages: {error.strerror or error}") from None

    async def close(self) -> None:
        """Do nothing: no file is open."""

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The temporary file has the mode 0600, and a random name that does not end in .eml.
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".") as draft:
            draft.write(content)
            draft.flush()
            _link(Path(draft.name), self._folder, name)


def _readable(message: EmailMessage) -> EmailMessage:
    """Return a copy in 8bit: quoted-printable would break a long link into several lines."""
    copy = deepcopy(message)
    for part in copy.walk():
        if isinstance(part, EmailMessage) and part.get_content_maintype() == "text":
            language = part["Content-Language"]
            # This removes every field whose name begins with Content-.
            part.set_content(part.get_content(), subtype=part.get_content_subtype(), cte="8bit")
            if language is not None:
                part["Content-Language"] = language
    return copy


def _link(draft: Path, folder: Path, name: str) -> None:
    """Give a complete file its name. An existing file of that name is not replaced."""
    names = (f"{name}{_SUFFIX}", *(f"{name}-{number}{_SUFFIX}" for number in range(2, 100)))
    for candidate in names:
        try:
            os.link(draft, folder / candidate)
        except FileExistsError:
            continue
        return
    raise FileExistsError("there are too many messages of one name")
