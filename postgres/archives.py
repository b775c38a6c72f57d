"""A backup file: an archive of pg_dump in the custom format, followed by a manifest line.

pg_restore ignores the line, and can therefore read the file as well. The line distinguishes a
complete file from a truncated one.
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
from db.schema import TABLES
from db.schema_version import VERSION
from postgres.program_output import ProgramFailed, stream_output
from postgres.programs import SYSTEM_PATH, find_programs
from rules.counting import counted

ENVIRONMENT = {"PATH": SYSTEM_PATH, "LC_ALL": "C"}
CHUNK = 1024 * 1024
_MARK = b"userauth-backup "
# The beginning of the names of partitions of events.
_PARTITION = "events_"
_MAX_LINE_BYTES = 64 * 1024
_COPY = re.compile(rb'COPY .+ \(([a-z_0-9", ]+)\) FROM stdin;\n')
_END = b"\\.\n"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contents of a backup: the time, the schema version, and the row count of each table.

    Partitions are listed like tables. ``namespace`` is the Postgres schema of the tables; ``size``
    and ``sha256`` are those of the archive without this line.
    """

    made_at: datetime
    version: int
    namespace: str
    rows: Mapping[str, int]
    size: int
    sha256: str

    @property
    def partitions(self) -> list[str]:
        """Return the partitions of events."""
        return [name for name in self.rows if name.startswith(_PARTITION)]

    def line(self) -> bytes:
        """Return the last line of the file, with the newline before it."""
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
        """Parse a last line; raises ValueError, KeyError or TypeError if it is malformed."""
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
            raise ValueError("the time has no time zone")
        return manifest


class Rows:
    """The rows of a table in the format of COPY, counted as they are read."""

    def __init__(self, source: IO[bytes]) -> None:
        self.count = 0
        self._source = source
        self._has_ended = False
        self.columns = self._find_columns()

    def read(self, size: int = CHUNK) -> bytes:
        """Return complete rows of at least ``size`` bytes, or fewer at the end."""
        lines = []
        length = 0
        while length < size and (line := self.readline()):
            length += len(line)
            lines.append(line)
        return b"".join(lines)

    def readline(self, _size: int = -1) -> bytes:
        """Return the next row, or b"" after the last one."""
        line = b"" if self._has_ended else self._source.readline()
        self._has_ended = line in (_END, b"")
        if self._has_ended:
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
    """A complete backup file."""

    def __init__(self, file: BinaryIO, manifest: Manifest) -> None:
        self.manifest = manifest
        self._file = file

    @contextmanager
    def table(self, name: str) -> Iterator[Rows]:
        """Yield the rows of a table; the caller must read all of them."""
        arguments = (
            "--data-only",
            f"--schema={self.manifest.namespace}",
            f"--table={name}",
            "--file=-",
        )
        self._file.seek(0)
        try:
            with stream_output(
                find_programs() / "pg_restore", arguments, ENVIRONMENT, self._file
            ) as output:
                rows = Rows(output)
                yield rows
                while output.read(CHUNK):
                    pass
        except ProgramFailed as error:
            raise BackupError(f"pg_restore cannot read the backup: {error}.") from None
        if rows.count != self.manifest.rows[name]:
            raise BackupError(
                f"The backup contains {counted(rows.count, 'row')} of {name} instead of"
                f" {self.manifest.rows[name]}: it is damaged."
            )

    def check(self) -> None:
        """Read all rows, like a restore; raises BackupError if that fails."""
        for name in self.manifest.rows:
            with self.table(name) as rows:
                while rows.read():
                    pass


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a backup file; raises BackupError if it is incomplete, damaged, or too new."""
    with path.open("rb", buffering=0) as raw:
        manifest = _read_manifest(raw, path.name)
        if _digest(raw, manifest.size) != manifest.sha256:
            raise BackupError(
                f"{path.name} is damaged: its SHA-256 does not match. Use another backup."
            )
        if manifest.version > VERSION:
            raise BackupError(
                f"{path.name} has schema version {manifest.version}, and this server supports up to"
                f" version {VERSION}: restore it with a newer server."
            )
        if {*manifest.rows} - {*TABLES, *manifest.partitions} or "users" not in manifest.rows:
            raise BackupError(f"{path.name} contains tables of another application.")
        # pg_restore shares the file offset, and therefore starts where we seek to.
        yield Archive(raw, manifest)


def _read_manifest(raw: IO[bytes], name: str) -> Manifest:
    size = raw.seek(0, 2)
    raw.seek(max(0, size - _MAX_LINE_BYTES))
    _, mark, line = raw.read(_MAX_LINE_BYTES).rpartition(b"\n" + _MARK)
    manifest = None
    if mark and line.endswith(b"\n"):
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            manifest = Manifest.read(line)
    if manifest is None or manifest.size + len(mark) + len(line) != size:
        raise BackupError(f"{name} is not a complete backup: it is truncated, or another file.")
    return manifest


def _digest(raw: IO[bytes], size: int) -> str:
    raw.seek(0)
    digest = hashlib.sha256()
    copy(raw, digest.update, size)
    return digest.hexdigest()


def copy(source: IO[bytes], write: Callable[[bytes], object], size: int | None = None) -> int:
    """Copy at most ``size`` bytes; return the number of copied bytes."""
    copied = 0
    while chunk := source.read(CHUNK if size is None else min(CHUNK, size - copied)):
        write(chunk)
        copied += len(chunk)
    return copied
