"""The lines of a file of users in batches, with the progress."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from commands.terminal import progress
from commands.user_files import Line, Reader

_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Batch:
    """Some lines, and the digest of the file up to the last of them."""

    lines: Sequence[Line]
    digest: bytes


class _HashedLines:
    """The lines of a file, and the digest of the lines read so far."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = next(self._source)
        self._hash.update(line)
        return line

    def digest(self) -> bytes:
        """Return the digest of the lines read so far."""
        return self._hash.digest()


def read_batches(file: Path, read: Reader, label: str) -> Iterator[Batch]:
    """Yield the lines of a file in batches; show the progress if standard error is a terminal."""
    size = file.stat().st_size
    with file.open("rb") as source, progress(label, size) as add:
        lines = _HashedLines(source)
        done = 0
        batch: list[Line] = []
        for line in read(lines):
            batch.append(line)
            if len(batch) == _BATCH:
                yield Batch(batch, lines.digest())
                add(line.end - done)
                done, batch = line.end, []
        if batch:
            yield Batch(batch, lines.digest())
        add(size - done)
