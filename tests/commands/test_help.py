"""Help, versions and shell completion of the command line."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from commands.completion import VARIABLE
from manage import cli
from server import main as server_main
from tests.harness.command_line import manage
from tests.harness.configuration import ROOT
from wiring.program import version

MAX_SUMMARY = 60


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if not command.hidden:
            yield f"{path} {name}".strip(), command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}".strip())


def all_commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        yield from all_commands(each)


COMMANDS = dict(commands(cli))


def test_a_hidden_command_has_a_description_too() -> None:
    found = list(all_commands(cli))
    assert any(each.hidden for each in found)
    assert [each.name for each in found if not each.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_is_not_cut(name: str) -> None:
    summary = COMMANDS[name].get_short_help_str(MAX_SUMMARY)
    assert summary
    assert not summary.endswith("...")
    assert summary.removesuffix(".") in (COMMANDS[name].help or "").split("\n\n")[0]


@pytest.mark.parametrize(
    "group", [(), *((name,) for name, each in COMMANDS.items() if isinstance(each, click.Group))]
)
def test_no_list_of_commands_cuts_a_summary(group: tuple[str, ...]) -> None:
    shown = manage(*group, "--help").stdout
    assert shown.isascii()
    assert "..." not in shown.partition("\nCommands:\n")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_is_described(name: str) -> None:
    options = [each for each in COMMANDS[name].params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_each_path_of_a_command_may_not_be_empty(name: str) -> None:
    for each in COMMANDS[name].params:
        if isinstance(each.type, click.Path):
            with pytest.raises(click.BadParameter, match=r"^The path is empty\.$"):
                each.type_cast_value(click.Context(COMMANDS[name]), "")


@pytest.mark.parametrize(
    "command",
    [
        ("users", "export", ""),
        ("users", "import", ""),
        ("users", "import", os.devnull, "--skip-invalid", ""),
        ("backup", ""),
        ("restore", ""),
    ],
)
def test_an_empty_path_is_invalid_usage(command: tuple[str, ...]) -> None:
    ended = manage(*command)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith(": The path is empty.\n")


def test_both_programs_print_their_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert manage("--version").stdout == f"userauth {version()}\n"
    with pytest.raises(SystemExit) as exited:
        server_main(["--version"], {})
    assert (exited.value.code, capsys.readouterr().out) == (0, f"userauth {version()}\n")


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".local/share/bash-completion/completions/userauth-manage"),
        ("zsh", ".zfunc/_userauth-manage"),
        ("fish", ".config/fish/completions/userauth-manage.fish"),
    ],
)
def test_completion_is_installed_for_the_shell_of_the_user(
    tmp_path: Path, shell: str, file: str
) -> None:
    home = tmp_path / "$(id) home"
    variables = {"HOME": str(home), "SHELL": f"/usr/bin/{shell}"}
    ended = manage("--install-completion", **variables)
    assert (ended.returncode, ended.stderr) == (0, "")
    script = (home / file).read_text(encoding="utf-8")
    assert f"{VARIABLE}={shell}_complete" in script
    assert f" {shlex.join([sys.executable, str(ROOT / 'manage.py')])})" in script
    assert "$1)" not in script
    assert script == manage("--show-completion", shell).stdout
    assert str(home / file) in ended.stdout
    # The line to paste is safe in a shell.
    assert (f"fpath=('{home}/.zfunc' $fpath)" in ended.stdout) == (shell == "zsh")


def test_completion_for_an_unknown_shell_or_directory_is_an_error(tmp_path: Path) -> None:
    unknown = manage("--install-completion", HOME=str(tmp_path), SHELL="/bin/tcsh")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    (tmp_path / ".zfunc").write_text("")
    ended = manage("--install-completion", "zsh", HOME=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"Error: {tmp_path / '.zfunc' / '_userauth-manage'}: File exists.\n"


def test_the_installed_script_completes_commands_in_bash() -> None:
    script = manage("--show-completion", "bash").stdout
    lines = (
        "COMP_WORDS=(userauth-manage users ex); COMP_CWORD=2; _userauth_manage_completion",
        'echo "${COMPREPLY[@]}"',
    )
    ended = subprocess.run(
        ["/bin/bash", "-c", "\n".join((script, *lines))],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("explain export\n", "")
