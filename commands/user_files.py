"""Files of users: JSON lines, or CSV with a header."""

import csv
import io
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from services.transfer import UserRecord

FIELDS = ("email", "name", "password_hash", "created_at", "disabled_at")
_FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}


class _Record(BaseModel):
    """A line of the file; all fields but email address and hash are optional."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    email: str
    password_hash: str
    name: str | None = None
    created_at: AwareDatetime | None = None
    disabled_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its number, the offset of its end, and its record or what is wrong."""

    number: int
    end: int
    record: UserRecord | None = None
    fault: str = ""


Reader = Callable[[BinaryIO], Iterator[Line]]


def reader(file: Path, form: str | None) -> Reader:
    """Return the reader for a format, by default that of the file's name."""
    if not file.is_file():
        raise click.UsageError("FILE is read twice: name a regular file.")
    chosen = form or _FORMATS.get(file.suffix.lower())
    if chosen is None:
        raise click.UsageError("The name of FILE has no known extension: pass --format.")
    return _read_csv if chosen == "csv" else _read_json_lines


def _read_json_lines(source: BinaryIO) -> Iterator[Line]:
    end = 0
    for number, line in enumerate(source, 1):
        end += len(line)
        text = line.removeprefix(BOM_UTF8) if number == 1 else line
        if text.strip():
            yield _line(number, end, partial(_Record.model_validate_json, text))


def _read_csv(source: BinaryIO) -> Iterator[Line]:
    text = io.TextIOWrapper(source, encoding="utf-8-sig", newline="")
    rows = csv.DictReader(text, strict=True)
    try:
        if not {"email", "password_hash"} <= set(rows.fieldnames or ()):
            yield Line(1, source.tell(), fault="is not a header with email and password_hash")
            return
        for row in rows:
            end = source.tell()
            # csv collects the cells beyond the header under None.
            if None in row:
                yield Line(rows.line_num, end, fault="has more cells than the header")
                continue
            fields = {name: value for name, value in row.items() if value}
            yield _line(rows.line_num, end, partial(_Record.model_validate_strings, fields))
    except (csv.Error, UnicodeDecodeError) as error:
        yield Line(rows.line_num + 1, source.tell(), fault=f"is not CSV in UTF-8 ({error})")
    finally:
        text.detach()


def _line(number: int, end: int, validate: Callable[[], _Record]) -> Line:
    try:
        record = validate()
    except ValidationError as error:
        return Line(number, end, fault="; ".join(_faults(error)))
    return Line(number, end, UserRecord(**record.model_dump()))


def _faults(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        # Without a header, a name may be a hash, which must not be printed.
        field = str(each["loc"][0]) if each["loc"] else "the line"
        yield f"{field if field in FIELDS else 'unknown field'}: {each['msg']}"
