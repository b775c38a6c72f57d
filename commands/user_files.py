"""Files of users: JSON lines, or CSV with a header."""

import csv
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from commands.user_records import FIELDS, record_of, shown_name
from contract.json_text import (
    LoneSurrogate,
    NestedTooDeeply,
    NumberTooLong,
    RepeatedName,
    read_json,
)
from rules.errors import InvalidFields
from services.transfer import UserRecord

_FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
_DELIMITERS = (",", ";", "\t")
_NOT_UTF8 = "is not UTF-8"
_REJECTED_JSON: Mapping[type[ValueError], str] = {
    RepeatedName: "has a field twice",
    NestedTooDeeply: "is nested too deeply",
    NumberTooLong: "has a number with too many digits",
    LoneSurrogate: "contains a lone surrogate",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its number, its bytes, the offset of its end, and its record or the error in it.

    ``header`` is that of a CSV file.
    """

    number: int
    content: bytes
    end: int
    record: UserRecord | None = None
    fault: str = ""
    header: bytes = b""


Reader = Callable[[Iterator[bytes]], Iterator[Line]]


def reader(file: Path, form: str | None, *, without_password: bool) -> Reader:
    """Return the reader for a format, which by default depends on the file's name.

    CSV needs a column with hashes, unless ``without_password``.
    """
    if not file.is_file():
        raise click.UsageError("FILE is read twice: name a regular file.")
    chosen = form or _FORMATS.get(file.suffix.lower())
    if chosen is None:
        raise click.UsageError("The name of FILE has no known extension: pass --format.")
    with file.open("rb") as source:
        if source.read(2) in {BOM_UTF16_BE, BOM_UTF16_LE}:
            raise click.UsageError("FILE is UTF-16: save it as UTF-8.")
    if chosen == "csv":
        required = {"email"} if without_password else {"email", "password_hash"}
        return partial(_read_csv, frozenset(required))
    return _read_json_lines


def _read_json_lines(source: Iterator[bytes]) -> Iterator[Line]:
    end = 0
    for number, line in enumerate(source, 1):
        end += len(line)
        text = line.removeprefix(BOM_UTF8) if number == 1 else line
        if text.strip():
            yield _line(number, line, end, partial(_members, text))


def _members(text: bytes) -> dict[str, object]:
    try:
        text.decode()
        members = read_json(text.strip())
    except UnicodeDecodeError:
        raise ValueError(_NOT_UTF8) from None
    except ValueError as error:
        reason = re.sub(r" at line 1 column ", " at column ", str(error))
        raise ValueError(_REJECTED_JSON.get(type(error), f"is not JSON: {reason}")) from None
    if isinstance(members, dict):
        return members
    raise ValueError("is not an object; each line must be one")


class _Lines:
    """The lines of a CSV file as text, and the bytes of the lines of the current row."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._row: list[bytes] = []
        self.number = 0
        self.end = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._source)
        self._row.append(line)
        self.end += len(line)
        self.number += 1
        # A row that is not UTF-8 is reported, and the other rows are read.
        return line.decode("utf-8-sig" if self.number == 1 else "utf-8", "surrogateescape")

    def take(self) -> tuple[int, bytes, int]:
        """Return the number of the row's first line, its bytes, and the offset of its end."""
        first, content = self.number - len(self._row) + 1, b"".join(self._row)
        self._row.clear()
        return first, content, self.end


def _read_csv(required: frozenset[str], source: Iterator[bytes]) -> Iterator[Line]:
    lines = _Lines(source)
    first = next(lines, "")
    delimiter = _find_delimiter(first)
    names = _names(first, delimiter)
    _, header, _ = lines.take()
    _check_header(names, required)
    rows = csv.reader(lines, strict=True, delimiter=delimiter)
    while True:
        try:
            cells = [cell.strip() for cell in next(rows)]
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(*lines.take(), fault=f"is not CSV: {error}", header=header)
            continue
        place = lines.take()
        if any(cells):
            line = _line(*place, partial(_fields, names, cells))
            yield replace(line, header=header)


def _fields(names: Sequence[str], cells: Sequence[str]) -> dict[str, object]:
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        raise ValueError(_NOT_UTF8)
    if any(cells[len(names) :]):
        raise ValueError(f"has {len(cells)} cells, but the header has {len(names)}")
    return {name: cell for name, cell in zip(names, cells, strict=False) if cell}


def _find_delimiter(header: str) -> str:
    """Return the delimiter that splits a header into the most known columns."""
    return max(_DELIMITERS, key=lambda each: len(set(_names(header, each)) & set(FIELDS)))


def _names(header: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([header], delimiter=delimiter), [])
    except csv.Error:
        return []
    return [re.sub(r"\s+", "_", cell.strip().lower()) for cell in cells]


def _check_header(names: Sequence[str], required: frozenset[str]) -> None:
    """Raise ClickException unless a header has the required columns, and no column twice."""
    for name in FIELDS:
        if names.count(name) > 1:
            raise _wrong_header(f"it has the column {name} twice")
    if not required <= set(names):
        found = ", ".join(map(shown_name, names)) or "nothing"
        hint = " (see --without-password)" if "email" in names else ""
        optional = ", ".join(each for each in FIELDS if each not in required)
        raise _wrong_header(
            f"expected {' and '.join(sorted(required))}{hint}, optionally {optional}; found {found}"
        )


def _wrong_header(fault: str) -> click.ClickException:
    return click.ClickException(
        f"The header of the CSV file is wrong: {fault}. Nothing was imported."
    )


def _line(number: int, content: bytes, end: int, members: Callable[[], dict[str, object]]) -> Line:
    try:
        return Line(number, content, end, record_of(members()))
    except InvalidFields as error:
        fault = faults_of(error)
    except ValueError as error:
        fault = str(error)
    return Line(number, content, end, fault=fault)


def faults_of(error: InvalidFields) -> str:
    """Return the errors in the fields of a line."""
    return "; ".join(f"{each.field}: {each.message}" for each in error.errors)
