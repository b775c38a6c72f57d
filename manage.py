"""The administrator's command line: ``python manage.py --help``."""

import signal

# First: until a command runs, SIGINT ends the process without a traceback of imports.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import os
import sys
from collections.abc import Mapping, Sequence

import click

from commands.audit import audit
from commands.backup import backup, restore
from commands.check import check_settings
from commands.clients import clients
from commands.completion import VARIABLE, install_completion, show_completion
from commands.keys import keys
from commands.mail import mail
from commands.private_file import fault_of_file
from commands.terminal import drop_output, fail, flush_output, say
from commands.throttle import throttle
from commands.users import users
from db.errors import DatabaseError
from rules.errors import Problem
from settings import SettingsError
from wiring.administrator import LocalAdministrator
from wiring.errors import START_ERRORS, exit_code_of
from wiring.program import version


def _print_version(context: click.Context, _parameter: click.Parameter, value: object) -> None:
    if value and not context.resilient_parsing:
        say(f"userauth {version()}")
        context.exit()


@click.group()
@click.option(
    "--version",
    is_flag=True,
    callback=_print_version,
    expose_value=False,
    is_eager=True,
    help="Print the version and exit.",
)
@show_completion
@install_completion
def cli() -> None:
    """Manage users, clients, keys and backups of a userauth server.

    Uses the settings and the database of the server. Exit codes: 0 success, 1 error, 2 invalid
    usage or settings, a password that is not accepted, or an argument that is not a readable file,
    3 not found, 4 already exists, or the database is in use or not empty.
    """


for command in (check_settings, users, throttle, clients, keys, mail, audit, backup, restore):
    cli.add_command(command)


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command; return the exit code."""
    code = 0
    faults: tuple[str, ...] = ()
    try:
        code = _run(arguments, environ)
        flush_output()
    except click.Abort:
        code, faults = 1, ("Interrupted.",)
    except click.ClickException as error:
        fail(error)
        code = error.exit_code
    except SettingsError as error:
        code, faults = 2, error.faults
    except Problem as error:
        code, faults = 1, (_fault_of(error),)
    except (*START_ERRORS, DatabaseError) as error:
        code, faults = exit_code_of(error), (_sentence(str(error)),)
    except OSError as error:
        code, faults = 1, _file_faults(error)
    for fault in faults:
        say(f"Error: {fault}", err=True)
    return code


def _fault_of(problem: Problem) -> str:
    """Return the title with the reason, or else with the advice."""
    if problem.__cause__ is None:
        return f"{problem.title}. {_sentence(problem.detail)}"
    return _sentence(f"{problem.title}: {problem.__cause__}")


def _sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends with one or with a statement of SQL."""
    return text if text.endswith((".", ";")) else f"{text}."


def _file_faults(error: OSError) -> tuple[str, ...]:
    if isinstance(error, BrokenPipeError):  # the reader, such as head, has all that it needs
        return ()
    return (fault_of_file(error.filename or "standard output", error),)


def _run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    _check_text(arguments)
    ended = cli.main(
        list(arguments),
        "manage.py",
        complete_var=VARIABLE,
        standalone_mode=False,
        obj=LocalAdministrator(environ),
    )
    # A number if click itself has ended the command, as for --help.
    return ended or 0


def _check_text(arguments: Sequence[str]) -> None:
    """Reject arguments that are not UTF-8, which Python decodes to lone surrogates."""
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"Argument {number} is not UTF-8.") from None


def _exit(_number: int, _frame: object) -> None:
    # Exits through all open context managers, which stop what was started.
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _exit)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    ended = main(sys.argv[1:], os.environ)
    drop_output()
    sys.exit(ended)
