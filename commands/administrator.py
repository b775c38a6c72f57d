"""What every command needs, and how it refuses."""

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TypeVar

import click

from auth.backups import Backups
from auth.services import Services
from settings import Settings

Result = TypeVar("Result")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Administrator(ABC):
    """The settings, and a way to the services."""

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """Return the server's settings."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Return where the database is, without a password."""

    @abstractmethod
    def backups(self) -> AbstractContextManager[Backups]:
        """Return a way to the database as a whole, for the length of a block."""

    @abstractmethod
    def run(self, work: Callable[[Services], Awaitable[Result]]) -> Result:
        """Do some work with the services, which are there as long as it takes."""


class NoSuchThing(click.ClickException):
    """What was named is not there."""

    exit_code = 3


class AlreadyThere(click.ClickException):
    """What was to be made is there already."""

    exit_code = 4


def print_json(document: object) -> None:
    """Print a document, readable for people too."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under titles, in columns."""
    table = [titles, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(titles))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def print_documents(
    titles: Sequence[str], documents: Sequence[Mapping[str, str | None]], *, as_json: bool
) -> None:
    """Print documents of one kind as JSON, or as a table under titles."""
    if as_json:
        print_json(documents)
    else:
        print_table(titles, [cells(document) for document in documents])


def cells(document: Mapping[str, str | None]) -> Sequence[str]:
    """Return the values of a document as people read them."""
    return [value or "-" for value in document.values()]


def shown_time(time: datetime | None) -> str | None:
    """Return a time to the second, in UTC."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
