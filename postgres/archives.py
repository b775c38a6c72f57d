"""A backup file: an archive of pg_dump in the custom format, and a last line on what is in it.

pg_restore, which looks at no more than the archive, takes the file as well. The line tells a
whole file from a part of one, whatever pg_restore makes of that.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, BinaryIO

from db.errors import BackupError
from db.schema import TABLES, VERSION
from postgres.piped_programs import ProgramFailed, piped
from postgres.programs import SYSTEM_PATH, find_programs

ENVIRONMENT = {"PATH": SYSTEM_PATH, "LC_ALL": "C"}
CHUNK = 1024 * 1024
_MARK = b"userauth-backup "
_LONGEST_LINE = 64 * 1024
_COPY = re.compile(rb'COPY .+ \(([a-z_0-9", ]+)\) FROM stdin;\n')
_END = b"\\.\n"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a backup: the time, the version of the schema, and the rows of each table.

    ``namespace`` is the Postgres schema that the tables were in; ``size`` and ``sha256`` are of
    the archive alone.
    """

    made_at: datetime
    version: int
    namespace: str
    rows: Mapping[str, int]
    size: int
    sha256: str

    def line(self) -> bytes:
        """Return the last line of the file, with the end of what comes before it."""
        document = {
            "made_at": self.made_at.isoformat(),
            "schema_version": self.version,
            "namespace": self.namespace,
            "rows": dict(self.rows),
            "archive_bytes": self.size,
            "sha256": self.sha256,
        }
        return b"\n" + _MARK + json.dumps(document).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> "Manifest":
        """Read a last line; raises ValueError, KeyError or TypeError where it is none."""
        document = json.loads(line.removeprefix(_MARK))
        rows = document["rows"]
        manifest = cls(
            made_at=datetime.fromisoformat(document["made_at"]),
            version=int(document["schema_version"]),
            namespace=str(document["namespace"]),
            rows={str(name): int(rows[name]) for name in rows},
            size=int(document["archive_bytes"]),
            sha256=str(document["sha256"]),
        )
        if manifest.made_at.tzinfo is None:
            raise ValueError("the time has no zone")
        return manifest


class Rows:
    """The rows of a table as COPY writes and reads them, counted on their way."""

    def __init__(self, source: IO[bytes]) -> None:
        self.count = 0
        self._source = source
        self._is_over = False
        self.columns = self._find_columns()

    def read(self, size: int = CHUNK) -> bytes:
        """Return some rows, or nothing after the last one."""
        lines = []
        length = 0
        while length < size and (line := self.readline()):
            length += len(line)
            lines.append(line)
        return b"".join(lines)

    def readline(self, _size: int = -1) -> bytes:
        """Return the next row, or nothing after the last one."""
        line = b"" if self._is_over else self._source.readline()
        self._is_over = line in (_END, b"")
        if self._is_over:
            return b""
        self.count += 1
        return line

    def _find_columns(self) -> list[str]:
        for line in self._source:
            match = _COPY.fullmatch(line)
            if match:
                return [name.strip(' "') for name in match[1].decode().split(",")]
        return []


class Archive:
    """A backup file that is whole, and was written by us."""

    def __init__(self, file: BinaryIO, manifest: Manifest) -> None:
        self.manifest = manifest
        self._file = file

    @contextmanager
    def table(self, name: str) -> Iterator[Rows]:
        """Yield the rows of a table; all of them have to be read."""
        arguments = (
            "--data-only",
            f"--schema={self.manifest.namespace}",
            f"--table={name}",
            "--file=-",
        )
        self._file.seek(0)
        try:
            with piped(
                find_programs() / "pg_restore", arguments, ENVIRONMENT, self._file
            ) as output:
                rows = Rows(output)
                yield rows
                while output.read(CHUNK):
                    pass
        except ProgramFailed as error:
            raise BackupError(f"pg_restore cannot read the backup ({error}).") from None
        if rows.count != self.manifest.rows[name]:
            raise BackupError(
                f"The backup holds {rows.count} rows of {name}, and tells of"
                f" {self.manifest.rows[name]}: it is damaged."
            )

    def check(self) -> None:
        """Read all rows, as a restore does; raises BackupError where one cannot be had."""
        for name in self.manifest.rows:
            with self.table(name) as rows:
                while rows.read():
                    pass


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a backup file; raises BackupError where it is none, not whole, or too new."""
    with path.open("rb", buffering=0) as raw:
        manifest = _read_manifest(raw, path.name)
        if _digest(raw, manifest.size) != manifest.sha256:
            raise BackupError(f"{path.name} is damaged: its SHA-256 is another. Take another one.")
        if manifest.version > VERSION:
            raise BackupError(
                f"{path.name} holds schema version {manifest.version}, this server knows version"
                f" {VERSION}: restore it with the version of the server that belongs to it."
            )
        if set(manifest.rows) - set(TABLES) or "users" not in manifest.rows:
            raise BackupError(f"{path.name} holds other tables than ours.")
        # Of one file description: pg_restore begins where we put it.
        yield Archive(raw, manifest)


def _read_manifest(raw: IO[bytes], name: str) -> Manifest:
    size = raw.seek(0, 2)
    raw.seek(max(0, size - _LONGEST_LINE))
    _, mark, line = raw.read(_LONGEST_LINE).rpartition(b"\n" + _MARK)
    manifest = None
    if mark and line.endswith(b"\n"):
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            manifest = Manifest.read(line)
    if manifest is None or manifest.size + len(mark) + len(line) != size:
        raise BackupError(
            f"{name} is not a whole backup by manage.py: it is cut off, or something else."
        )
    return manifest


def _digest(raw: IO[bytes], size: int) -> str:
    raw.seek(0)
    digest = hashlib.sha256()
    copy(raw, digest.update, size)
    return digest.hexdigest()


def copy(source: IO[bytes], write: Callable[[bytes], object], size: int | None = None) -> int:
    """Hand on what can be read, ``size`` bytes at most; return how much that was."""
    copied = 0
    while chunk := source.read(CHUNK if size is None else min(CHUNK, size - copied)):
        write(chunk)
        copied += len(chunk)
    return copied
