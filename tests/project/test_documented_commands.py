"""The commands and the messages that the documents show exist."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from manage import cli
from tests.harness.configuration import ROOT, SOURCE_PATHS, path_in_repository

PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    # The reference of the commands is generated from them.
    *sorted({*(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "command-reference.md"}),
]
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
_COMMAND = re.compile(r"(?:userauth-manage|manage\.py) ((?:[a-z]|--)[^`\n|)&]*)")
# Pages name commands without the program too, in code.
_SHORT = re.compile(r"`((?:users|throttle|keys|mail|audit|clients) [a-z][^`]*)`")


def documented(text: str) -> list[str]:
    """Return the command lines in a text, without the program."""
    return [*_COMMAND.findall(text), *(each.replace("\\|", "|") for each in _SHORT.findall(text))]


def unknown(line: str) -> list[str]:
    """Return what does not exist of a command line."""
    words = shlex.split(re.sub(r"[\[\]<>]", " ", line.replace("'", "")))
    command: click.Command = cli
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        found = command.commands.get(words.pop(0))
        if found is None:
            return [line]
        command = found
    options = {opt for each in command.params for opt in each.opts} | {"--help"}
    return [word for word in words if word.startswith("--") and word.split("=")[0] not in options]


@pytest.mark.parametrize("page", PAGES, ids=path_in_repository)
def test_each_command_in_a_page_exists(page: Path) -> None:
    lines = documented(page.read_text(encoding="utf-8"))
    assert {line: missing for line in lines if (missing := unknown(line))} == {}


def test_an_unknown_command_or_option_is_found() -> None:
    text = (
        "run `userauth-manage users explode X`, `users show --all` and `manage.py keys list --json`"
    )
    assert [unknown(line) for line in documented(text)] == [["users explode X"], [], ["--all"]]


def test_every_command_is_documented() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = {
        each for line in documented(text) for each in (line.split()[0], " ".join(line.split()[:2]))
    }
    missing = []
    for name, command in cli.commands.items():
        if isinstance(command, click.Group):
            missing += [
                f"{name} {each}" for each, sub in command.commands.items() if not sub.hidden
            ]
        else:
            missing.append(name)
    assert sorted(set(missing) - named) == []


@cache
def messages() -> str:
    """Return all texts of the product, with an ellipsis for each part that varies."""
    found = []
    for name in SOURCE_PATHS:
        path = ROOT / name
        for module in [path] if path.is_file() else sorted(path.rglob("*.py")):
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.append("".join(_parts(node)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(found)


def _parts(node: ast.JoinedStr) -> Iterator[str]:
    for each in node.values:
        yield str(each.value) if isinstance(each, ast.Constant) else "…"


def shown_messages() -> list[str]:
    """Return the messages in the first column of the tables of a page."""
    rows = re.findall(r"^\| (.*?) \|", TROUBLESHOOTING.read_text(encoding="utf-8"), re.MULTILINE)
    quoted = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    return [text for text in quoted if " " in text]


def test_each_message_in_the_page_for_troubleshooting_is_one_of_the_product() -> None:
    shown = shown_messages()
    assert len(shown) > 30
    missing = [
        text
        for text in shown
        if not all(part.strip() in messages() for part in re.split("…", text))
    ]
    assert missing == []
