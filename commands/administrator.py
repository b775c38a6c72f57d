"""What every command needs, and how it refuses."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import click

from rules.origin import LocalOrigin
from services.all_services import Services
from services.backups import Backups
from settings import Settings

Result = TypeVar("Result")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Administrator(Protocol):
    """The settings, and access to the services and to the database as a whole."""

    @property
    def settings(self) -> Settings:
        """Return the server's settings."""
        ...

    @property
    def place(self) -> str:
        """Return where the database is, without a password."""
        ...

    @property
    def administration(self) -> LocalOrigin:
        """Return who acts, for the audit trail."""
        ...

    def check(self) -> str:
        """Check the settings as the server does, and return a report."""
        ...

    def backups(self) -> AbstractContextManager[Backups]:
        """Return a way to the database as a whole, for the length of a block."""
        ...

    def run(self, work: Callable[[Services], Awaitable[Result]]) -> Result:
        """Do some work with the services, which are there as long as it takes."""
        ...


class NotFoundError(click.ClickException):
    """What was named is not there."""

    exit_code = 3


class AlreadyExists(click.ClickException):
    """What was to be made is there already."""

    exit_code = 4


def shown_time(time: datetime | None) -> str | None:
    """Return a time to the second, in UTC."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
