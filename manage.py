"""The administrator's command line: ``python manage.py --help``.

It uses the settings, and the database, of the server. Exits with 0 when it is done, 1 where the
database or a file cannot be used, 2 for wrong usage or settings, 3 where what was named is not
there, and 4 where what was to be made is there already.
"""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path

import click

from commands.actor import find_actor
from commands.administrator import Administrator, Result
from commands.audit import audit
from commands.backup import backup, restore
from commands.clients import clients
from commands.keys import keys
from commands.terminal import fail, say
from commands.users import users
from db.errors import DatabaseError
from ops.event_loop import EventLoop
from postgres.embedded import EmbeddedPostgresError
from postgres.plain_connection import postgres_time
from rules.errors import Problem
from rules.keys import KeysFileError
from rules.origin import LocalOrigin
from server import (
    StartError,
    check,
    measured_clock,
    open_database,
    open_services,
    place_of_data,
    postgres,
    read_schema,
)
from services.all_services import Services
from services.backups import Backups
from settings import Settings, SettingsError, load_settings
from settings.cautions import cautions
from transport.certificate import CertificateError

ROOT = Path(__file__).resolve().parent
# A command may look at every row.
_QUERY_SECONDS = 600.0


class _Administrator(Administrator):
    """Reads the settings, and opens the services on the server's database, when asked to."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @cached_property
    def settings(self) -> Settings:
        """Return the server's settings, but for the time that a query may take.

        Commands sign nothing: those that make backups are not handed the keys.
        """
        settings = load_settings(self._environ, ROOT / "settings.toml", needs_keys=False)
        database = settings.database.model_copy(update={"query_timeout_seconds": _QUERY_SECONDS})
        return settings.model_copy(update={"database": database})

    def check(self) -> str:
        """Look into the settings as the server does, and say that all is good."""
        return check(load_settings(self._environ, ROOT / "settings.toml"))

    @property
    def place(self) -> str:
        """Return where the database is, without a password."""
        return place_of_data(self.settings)

    @property
    def administration(self) -> LocalOrigin:
        """Return who acts, for the audit trail."""
        return LocalOrigin(find_actor(self._environ))

    @contextmanager
    def backups(self) -> Iterator[Backups]:
        """Yield a way to the database as a whole, whatever version its schema has."""
        # The embedded Postgres is found without what the environment says of another one.
        environ = {} if self.settings.database.is_embedded else self._environ
        with postgres(self.settings) as dsn:
            yield Backups(
                dsn,
                environ=environ,
                schema=read_schema(),
                clock=partial(postgres_time, dsn),
                administration=self.administration,
            )

    def run(self, work: Callable[[Services], Awaitable[Result]]) -> Result:
        """Do some work with the services, which are there as long as it takes."""
        with postgres(self.settings) as dsn, asyncio.Runner(loop_factory=EventLoop) as runner:
            return runner.run(self._run(dsn, work))

    async def _run(self, dsn: str, work: Callable[[Services], Awaitable[Result]]) -> Result:
        settings = self.settings
        # Commands sign nothing, and leave it to the server to change a schema that is in use.
        keys = [secrets.token_urlsafe()]
        async with (
            open_database(settings, dsn, may_migrate=False) as database,
            open_services(
                settings,
                keys,
                database,
                await measured_clock(database),
                administration=self.administration,
            ) as services,
        ):
            return await work(services)


@click.group(help=(__doc__ or "").partition("\n\n")[2])
def cli() -> None:
    pass


@cli.command("check")
@click.pass_obj
def check_settings(administrator: _Administrator) -> None:
    """Check the settings, as server.py --check does; nothing is started or changed."""
    good = administrator.check()
    for caution in cautions(administrator.settings):
        say(f"warning: {caution}", err=True)
    for line in good.splitlines():
        say(line)


for command in (users, clients, keys, audit, backup, restore):
    cli.add_command(command)


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command; return the exit code."""
    code = 0
    faults: tuple[str, ...] = ()
    try:
        _check_text(arguments)
        administrator = _Administrator(environ)
        # A number where click itself has ended it, as for --help.
        code = cli.main(list(arguments), "manage.py", standalone_mode=False, obj=administrator) or 0
    except click.Abort:
        code, faults = 1, ("Interrupted.",)
    except click.ClickException as error:
        fail(error)
        code = error.exit_code
    except SettingsError as error:
        code, faults = 2, error.faults
    except Problem as error:
        code, faults = 1, (f"{error.title} ({error.__cause__ or error.detail}).",)
    except (
        StartError,
        EmbeddedPostgresError,
        KeysFileError,
        CertificateError,
        DatabaseError,
    ) as error:
        code, faults = 1, (str(error),)
    for fault in faults:
        say(f"manage.py: {fault}", err=True)
    return code


def _check_text(arguments: Sequence[str]) -> None:
    """Refuse what is no UTF-8, which Python hands on as lone surrogates."""
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"Argument {number} must be UTF-8.") from None


def _end(_number: int, _frame: object) -> None:
    # What was begun is undone on the way out.
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:], os.environ))
