"""Shell completion for ``userauth-manage``, with the scripts of click.

In a checkout, that name can be an alias of ``.venv/bin/python manage.py``. The scripts run
manage.py itself: completing a command line needs no settings, no database and no root.
"""

import os
import re
import shlex
import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from commands.administrator import PROGRAM
from commands.private_file import file_errors
from commands.terminal import say

VARIABLE = "_USERAUTH_MANAGE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_FROM_ENVIRONMENT = "auto"
_MANAGE = Path(__file__).resolve().parents[1] / "manage.py"
# The places where a script of click names the program to run.
_RUNS = re.compile(r"(\$1|%\(prog_name\)s)(?=\))")


def _show(context: click.Context, _parameter: click.Parameter, shell: str | None) -> None:
    if shell is not None and not context.resilient_parsing:
        for line in _script(shell).splitlines():
            say(line)
        context.exit()


def _install(context: click.Context, _parameter: click.Parameter, shell: str | None) -> None:
    if shell is None or context.resilient_parsing:
        return
    if shell == _FROM_ENVIRONMENT:
        shell = Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise click.UsageError("The shell is not known: pass bash, zsh or fish.")
    file = _file(shell)
    with file_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_script(shell), encoding="utf-8")
    say(f"Installed {file}. Start a new shell to use it.")
    if shell == "zsh":
        say(f"In ~/.zshrc, before compinit: fpath=({shlex.quote(str(file.parent))} $fpath)")
    context.exit()


show_completion = click.option(
    "--show-completion",
    type=click.Choice(SHELLS),
    callback=_show,
    expose_value=False,
    is_eager=True,
    help="Print the completion script and exit.",
)
install_completion = click.option(
    "--install-completion",
    type=click.Choice([*SHELLS, _FROM_ENVIRONMENT]),
    metavar="[bash|zsh|fish]",
    is_flag=False,
    flag_value=_FROM_ENVIRONMENT,
    callback=_install,
    expose_value=False,
    is_eager=True,
    help="Install shell completion for this user and exit.",
)


def _script(shell: str) -> str:
    """Return the completion script of click, which runs manage.py in place of the program."""
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    run = shlex.join([sys.executable, str(_MANAGE)]).replace("%", "%%")
    # The program may be an alias, which zsh does not consider a command.
    template = re.sub(r".*\$\+commands\[.*\n", "", completion.source_template)
    names = completion(click.Group(), {}, PROGRAM, VARIABLE).source_vars()
    return _RUNS.sub(lambda _: run, template) % names


def _file(shell: str) -> Path:
    """Return the file from which a shell loads the completion of the program on first use."""
    home = Path.home()
    if shell == "bash":
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
        return data / "bash-completion/completions" / PROGRAM
    if shell == "fish":
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        return config / "fish/completions" / f"{PROGRAM}.fish"
    return home / ".zfunc" / f"_{PROGRAM}"
