"""Output and prompts: commands use the terminal only through this module.

In text from users, files and the database, unprintable characters are printed as escapes: control
characters would control the terminal, others could reorder or hide the text next to them. So are
characters that are missing in the encoding of the terminal.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

import click

# Isolate text from right to left from its neighbours.
_FIRST_STRONG_ISOLATE, _POP_DIRECTIONAL_ISOLATE = "\u2068", "\u2069"
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})


def escaped(text: str, stream: TextIO | None = None) -> str:
    """Return a text as one line, with escapes for characters that a stream cannot show.

    These are unprintable characters, and characters that are missing in the encoding of the stream,
    by default standard output.
    """
    encoding = _encoding(stream)
    if text.isprintable() and _has_all(encoding, text):
        return text
    return "".join(
        each
        if each.isprintable() and _has_all(encoding, each)
        else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def say(text: str = "", *, err: bool = False) -> None:
    """Print a line."""
    click.echo(escaped(text, sys.stderr if err else sys.stdout), err=err)


def confirm(question: str) -> None:
    """Prompt for confirmation, and exit with 1 unless the answer is yes."""
    with _decodable_input():
        is_confirmed = click.confirm(escaped(question))
    if not is_confirmed:
        say("Cancelled; nothing was changed.", err=True)
        raise click.exceptions.Exit(1)


def prompt_secret(what: str) -> str:
    """Prompt twice for a text that is not shown."""
    with _decodable_input():
        return str(click.prompt(escaped(what), hide_input=True, confirmation_prompt=True))


@contextmanager
def _decodable_input() -> Iterator[None]:
    """Reject input that is not in the encoding of the locale, as a terminal in Latin-1 sends it."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise click.UsageError(f"The input is not {error.encoding.upper()}.") from None


def fail(error: click.ClickException) -> None:
    """Print why a command failed, or the help of a group without a command."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        for line in error.format_message().split("\n"):
            say(line, err=True)
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        for line in context.get_usage().split("\n"):
            say(line, err=True)
        say(f"Try '{context.command_path} --help' for help.", err=True)
    say(f"Error: {error.format_message()}", err=True)


def flush_output() -> None:
    """Write buffered output; raises OSError if that is not possible, for example on a full disk."""
    sys.stdout.flush()


def drop_output() -> None:
    """Drop output that could not be written, which Python would try to write again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def progress(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """Show the progress if standard error is a terminal; yield a function that advances it."""
    is_hidden = not sys.stderr.isatty()
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=is_hidden) as bar:
        yield bar.update


def print_json(document: object) -> None:
    """Print a document as indented JSON."""
    click.echo(as_json_text(document, indent=2))


def as_json_text(document: object, *, indent: int | None = None) -> str:
    """Return a document as JSON, with escapes for unprintable characters.

    It is ASCII if standard output cannot encode all of it.
    """
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    if not _has_all(_encoding(sys.stdout), text):
        text = json.dumps(document, indent=indent)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else _in_json(each) for each in text)


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns under titles."""
    table = [titles, *([escaped(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(titles))]
    for row in table:
        print_cells([cell.ljust(width) for cell, width in zip(row, widths, strict=True)])


def print_cells(cells: Sequence[str]) -> None:
    """Print the cells of one row."""
    click.echo("  ".join(_isolated(escaped(cell)) for cell in cells).rstrip())


def print_documents(
    titles: Sequence[str], documents: Sequence[Mapping[str, object]], *, as_json: bool
) -> None:
    """Print documents as JSON, or as a table under titles."""
    if as_json:
        print_json(documents)
    else:
        print_table(titles, [cells(document) for document in documents])


def print_fields(document: Mapping[str, object]) -> None:
    """Print the members of a document, each in a line with its name."""
    width = max(map(len, document))
    for name, value in document.items():
        say(f"{name.replace('_', ' '):<{width}}  {cell(value)}")


def cells(document: Mapping[str, object]) -> Sequence[str]:
    """Return the values of a document as cells."""
    return [cell(value) for value in document.values()]


def cell(value: object) -> str:
    """Return a value as the text of a cell."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value in (None, "") else str(value)


def _in_json(character: str) -> str:
    # json does not escape DEL.
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def _encoding(stream: TextIO | None) -> str:
    return (stream or sys.stdout).encoding or "utf-8"


def _has_all(encoding: str, text: str) -> bool:
    """Return whether an encoding has every character of a text."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _isolated(cell: str) -> str:
    """Return a cell isolated so that its direction does not reorder its neighbours."""
    if cell.isascii() or not sys.stdout.isatty():
        return cell
    if not _has_all(_encoding(sys.stdout), _FIRST_STRONG_ISOLATE):
        return cell
    if not any(unicodedata.bidirectional(each) in _RIGHT_TO_LEFT for each in cell):
        return cell
    return f"{_FIRST_STRONG_ISOLATE}{cell}{_POP_DIRECTIONAL_ISOLATE}"
