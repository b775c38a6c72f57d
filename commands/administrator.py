"""Access to the services, options and errors that commands share."""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

import click

from rules.errors import InvalidFields
from rules.origin import LocalOrigin
from services.all_services import AdministrationServices
from services.backups import Backups
from services.database_check import DatabaseReport
from services.named_users import UserNotFound, is_user_id
from settings import Settings

# The name of this command line after an installation; in a checkout, it can be an alias.
PROGRAM = "userauth-manage"

Result = TypeVar("Result")

Command = TypeVar("Command", bound=Callable[..., object])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def limit_option(default: int, *, maximum: int = 10_000) -> Callable[[Command], Command]:
    """Return the option that limits the rows of a list."""
    return click.option(
        "--limit",
        type=click.IntRange(1, maximum),
        metavar="N",
        default=default,
        show_default=True,
        help="Show at most N rows.",
    )


def not_empty(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the value of an argument that names a user; raises UsageError if it is empty."""
    # It may be an unset variable in a script.
    if not value.strip():
        raise click.UsageError("Specify an email address or id.")
    return value


class FilePath(click.Path):
    """The path of a file or a directory; UsageError if it is empty, as Path("") would be ``.``."""

    def __init__(
        self, *, exists: bool = False, dir_okay: bool = True, allow_dash: bool = False
    ) -> None:
        super().__init__(exists=exists, dir_okay=dir_okay, allow_dash=allow_dash, path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Return the path."""
        # It may be an unset variable in a script.
        if not os.fspath(value):
            self.fail("The path is empty.", param, ctx)
        return super().convert(value, param, ctx)


user_argument = click.argument("user", metavar="EMAIL|ID", callback=not_empty)


class Administrator(Protocol):
    """The settings, and access to the services and to the whole database."""

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
        """Return the origin of the actions of commands, for the audit trail."""
        ...

    def check(self) -> str:
        """Check the settings as the server does, and return a report."""
        ...

    def check_database(self) -> DatabaseReport:
        """Check the database without changing it."""
        ...

    def send_test_message(self, address: str) -> str:
        """Send a message through the relay; return the location of the relay. Raises MailError."""
        ...

    def backups(self) -> AbstractContextManager[Backups]:
        """Return access to the whole database, for the duration of a block."""
        ...

    def run(self, work: Callable[[AdministrationServices], Awaitable[Result]]) -> Result:
        """Open the services, do some work with them, and close them."""
        ...


class NotFoundError(click.ClickException):
    """An argument names something that does not exist."""

    exit_code = 3


class AlreadyExists(click.ClickException):
    """The object that the command creates already exists."""

    exit_code = 4


def already_exists(email: str) -> AlreadyExists:
    """Return the error for an email address that is already taken."""
    return AlreadyExists(f"A user with the email address {email} already exists.")


def usage_error(error: InvalidFields) -> click.ClickException:
    """Return the error for arguments that a rule rejects."""
    return click.UsageError(
        "; ".join(f"{each.field} {each.message}" for each in error.errors) + "."
    )


def user_not_found(email_or_id: str) -> NotFoundError:
    """Return the error for an email address or id that no user has."""
    if is_user_id(email_or_id):
        return NotFoundError(f"No user has the ID {email_or_id}.")
    return NotFoundError(f"No user has the email address {email_or_id}.")


def with_user(
    administrator: Administrator,
    email_or_id: str,
    work: Callable[[AdministrationServices], Awaitable[Result]],
) -> Result:
    """Do some work with a user; raises NotFoundError if the user does not exist."""
    try:
        return administrator.run(work)
    except UserNotFound:
        raise user_not_found(email_or_id) from None


def shown_time(time: datetime | None) -> str | None:
    """Return a time in UTC, to the second."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
