"""The units, paths and options in the pages on the installation are those of deploy/."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.harness.configuration import ROOT, path_in_repository

DEPLOY = ROOT / "deploy"
INSTALLER = (DEPLOY / "install.sh").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").glob("*.md"))
# Their messages name units too.
COMMANDS = sorted((ROOT / "commands").glob("*.py"))
OURS = {file.name for folder in (DEPLOY, DEPLOY / "cluster") for file in folder.iterdir()}
# Units of the packages that the pages install.
OTHERS = {"caddy", "etcd", "haproxy", "nginx", "postgresql", "prometheus"}
SYSTEMCTL = re.compile(
    r"\bsystemctl (?:[a-z-]+) (?:--(?:now|no-block)\b ?)?((?:'?[\w@.][\w@.*-]*'? ?)*)"
)


def units_in(text: str) -> set[str]:
    """Return the units in the systemctl commands of a text."""
    return {unit.strip("'") for units in SYSTEMCTL.findall(text) for unit in units.split()}


def is_unit(name: str) -> bool:
    # Processes have a number of two digits, nodes of a cluster have a name.
    name = re.sub(r"@(?:\d\d|n\d|NAME|\*)(?=$|\.service$)", "@", name)
    return name in OTHERS or name in OURS or f"{name}.service" in OURS


@pytest.mark.parametrize("page", [*PAGES, *COMMANDS], ids=path_in_repository)
def test_each_unit_in_a_command_exists(page: Path) -> None:
    units = units_in(page.read_text(encoding="utf-8"))
    assert {unit for unit in units if not is_unit(unit)} == set()


def test_units_are_found() -> None:
    text = "`systemctl stop userauth.socket userauth.service` and `systemctl reload usrauth`"
    assert units_in(text) == {"userauth.socket", "userauth.service", "usrauth"}
    assert not is_unit("usrauth")
    assert is_unit("userauth@02")
    assert units_in("systemctl reload 'userauth@*.service'") == {"userauth@*.service"}
    assert is_unit("userauth@*.service")
    assert not is_unit("userauth*.service")
    assert not is_unit("userauth@2")


@pytest.mark.parametrize("page", PAGES, ids=path_in_repository)
def test_each_option_of_the_installer_exists(page: Path) -> None:
    options = re.findall(r"install\.sh (--[a-z-]+)", page.read_text(encoding="utf-8"))
    assert [option for option in options if f"        {option})" not in INSTALLER] == []


@pytest.mark.parametrize("page", PAGES, ids=path_in_repository)
def test_each_installed_path_exists(page: Path) -> None:
    """Below /opt/userauth is a copy of the repository; install.sh creates the other directories."""
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"/opt/userauth/([\w./-]+\w)", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"/etc/userauth/credentials/(\w+)", text):
        assert f"new_secret {path} " in INSTALLER, path
    for path in re.findall(r"(?<![\w/])(/(?:etc|var/lib|var/backups)/userauth)\b", text):
        assert f"=$root{path}\n" in INSTALLER, path


def shell_blocks() -> list[tuple[str, str]]:
    return [
        (page.name, block)
        for page in PAGES
        for _, block in re.findall(
            r"^( *)```sh\n(.*?)^\1```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
    ]


def test_each_shell_block_can_be_parsed_by_bash() -> None:
    """A placeholder such as <where this repository is> is no redirection of a file."""
    for name, block in shell_blocks():
        script = re.sub(r"<[a-z ]+>", "PLACEHOLDER", block)
        ended = subprocess.run(
            ["/bin/bash", "-n", "-c", script], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, (name, block, ended.stderr)
