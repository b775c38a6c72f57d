"""The administrator's command line: ``python manage.py --help``.

It uses the settings and the database of the server. Exit codes: 0 on success, 1 if the database or
a file cannot be used, 2 for wrong usage or settings, 3 if an argument names something that does not
exist, 4 if what the command creates already exists.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence

import click

from commands.audit import audit
from commands.backup import backup, restore
from commands.check import check_settings
from commands.clients import clients
from commands.keys import keys
from commands.terminal import fail, say
from commands.users import users
from db.errors import DatabaseError
from rules.errors import Problem
from settings import SettingsError
from wiring.administrator import LocalAdministrator
from wiring.errors import START_ERRORS


@click.group(help=(__doc__ or "").partition("\n\n")[2])
def cli() -> None:
    pass


for command in (check_settings, users, clients, keys, audit, backup, restore):
    cli.add_command(command)


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command; return the exit code."""
    code = 0
    faults: tuple[str, ...] = ()
    try:
        _check_text(arguments)
        administrator = LocalAdministrator(environ)
        # A number if click itself has ended the command, as for --help.
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
    except (*START_ERRORS, DatabaseError) as error:
        code, faults = 1, (str(error),)
    for fault in faults:
        say(f"manage.py: {fault}", err=True)
    return code


def _check_text(arguments: Sequence[str]) -> None:
    """Reject arguments that are not UTF-8, which Python decodes to lone surrogates."""
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"Argument {number} must be UTF-8.") from None


def _exit(_number: int, _frame: object) -> None:
    # Unwinds, so that what was started is stopped.
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _exit)
    sys.exit(main(sys.argv[1:], os.environ))
