"""What commands share: access to the services, options, and errors."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import click

from rules.origin import LocalOrigin
from services.all_services import AdministrationServices
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
    def location(self) -> str:
        """Return the location of the database, without a password."""
        ...

    @property
    def origin(self) -> LocalOrigin:
        """Return the origin of what commands do, for the audit trail."""
        ...

    def check(self) -> str:
        """Check the settings as the server does, and return a report."""
        ...

    def backups(self) -> AbstractContextManager[Backups]:
        """Return access to the database as a whole, for the length of a block."""
        ...

    def run(self, work: Callable[[AdministrationServices], Awaitable[Result]]) -> Result:
        """Open the services, do some work with them, and close them."""
        ...


class NotFoundError(click.ClickException):
    """An argument names something that does not exist."""

    exit_code = 3


class AlreadyExists(click.ClickException):
    """What the command creates exists already."""

    exit_code = 4


def shown_time(time: datetime | None) -> str | None:
    """Return a time in UTC, to the second."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
