"""Commands print through one module, and no text controls the terminal."""

import ast
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from commands.terminal import as_json_text, confirm, escaped, print_table, progress, prompt_secret
from tests.harness.command_line import manage
from tests.harness.configuration import ROOT, path_in_repository
from tests.harness.sql import run_sql

# Control characters, escape sequences (one with 8 bits), bidirectional controls, zero width, tags,
# line separators. A lone surrogate cannot be stored.
HOSTILE = "\x07\x7f\x1b]0;owned\x1b[2J\x9b31m\u202e\u2066\u200b\u200d\U000e0041\u2028\x85\r\n\tend"
EMAIL = f"susan{HOSTILE}@example.com"
PRINTERS = {
    *("click.echo", "click.secho", "click.echo_via_pager", "click.prompt", "click.confirm"),
    "click.progressbar",
}
# The target of a backup, which is never a terminal.
ALLOWED = {"sys.stdout.buffer"}
LISTINGS = [
    ("users", "list"),
    ("users", "list", "--limit", "1"),
    ("users", "search", "end"),
    ("users", "show", EMAIL),
    ("users", "disable", f"unknown{HOSTILE}"),
    ("clients", "list"),
    ("audit", "list"),
]


def is_harmless(text: str) -> bool:
    return all(each.isprintable() or each == "\n" for each in text)


@pytest.fixture
def hostile(dsn: str) -> str:
    """Insert rows that no rule of the server accepts."""
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, name, password_hash) VALUES (%s, %s, %s, 'x')",
        (EMAIL, EMAIL, HOSTILE),
    )
    run_sql(
        dsn,
        "INSERT INTO clients (id, name, secret_digest, created_at, secret_made_at)"
        " VALUES (%s, %s, '', now(), now())",
        (HOSTILE, HOSTILE),
    )
    run_sql(
        dsn,
        "INSERT INTO events (at, kind, outcome, client_id, key_id, request_id, actor)"
        " VALUES (now(), %s, 'success', %s, %s, %s, %s)",
        (HOSTILE,) * 5,
    )
    return dsn


@pytest.mark.parametrize("arguments", LISTINGS, ids=" ".join)
def test_no_command_lets_the_database_control_the_terminal(
    hostile: str, arguments: tuple[str, ...]
) -> None:
    ended = manage(*arguments, DATABASE_URL=hostile)
    assert is_harmless(ended.stdout), ended.stdout
    assert is_harmless(ended.stderr), ended.stderr
    assert r"\u202e" in ended.stdout + ended.stderr
    # A name neither breaks nor adds a line.
    assert ended.stdout.count("\n") in {0, 2, 8}


@pytest.mark.parametrize(
    "arguments", [("users", "list"), ("users", "search", "end"), ("clients", "list")]
)
def test_json_contains_the_same_text_in_escapes(hostile: str, arguments: tuple[str, ...]) -> None:
    text = manage(*arguments, "--json", DATABASE_URL=hostile).stdout
    assert is_harmless(text)
    [row] = [each for each in _rows(json.loads(text)) if "end" in each["name"]]
    assert row["name"] == HOSTILE


def _rows(document: Any) -> list[dict[str, str]]:
    return document if isinstance(document, list) else [document]


def test_errors_in_a_file_are_printed_with_escapes(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "users\x1b[2J.csv"
    file.write_text(f"email,password_hash,{HOSTILE!a}\nx\x1b[2J,\x1b\n", encoding="utf-8")
    ended = manage("users", "import", str(file), DATABASE_URL=dsn)
    assert ended.returncode == 1
    assert is_harmless(ended.stdout + ended.stderr)
    ended = manage("restore", str(file), DATABASE_URL=dsn)
    assert ended.returncode == 1
    assert is_harmless(ended.stderr)
    ended = manage("users\x1b[2J", DATABASE_URL=dsn)
    assert ended.returncode == 2
    assert is_harmless(ended.stderr)


def test_letters_of_any_language_are_printed_unchanged() -> None:
    for text in ("Zoë", "שלום", "سوزان", "王秀英", "😀", "a b"):
        assert escaped(text) == text
        assert as_json_text([text]) == f'["{text}"]'


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1251"])
def test_what_the_terminal_cannot_encode_is_printed_with_escapes(dsn: str, encoding: str) -> None:
    email, name = "мария@пример.рф", "Zoë 王 😀"
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, name, password_hash) VALUES (%s, %s, %s, 'x')",
        (email, email, name),
    )
    variables = {"DATABASE_URL": dsn, "PYTHONIOENCODING": encoding}
    for arguments in (("list",), ("search", "мария"), ("show", email)):
        shown = manage("users", *arguments, **variables)
        assert (shown.returncode, shown.stderr) == (0, ""), shown
        assert r"\u738b" in shown.stdout
        assert ("мария" in shown.stdout) == (encoding == "cp1251")
        document = json.loads(manage("users", *arguments, "--json", **variables).stdout)
        [row] = _rows(document)
        assert (row["email"], row["name"]) == (email, name)
    missing = manage("users", "show", "анна@пример.рф", **variables)
    assert missing.returncode == 3
    assert "\n" not in missing.stderr.strip()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_names_from_right_to_left_do_not_reorder_their_neighbours_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_terminal: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    print_table(("NAME", "ID"), [("שלום\u2068", "17"), ("Zoë", "18")])
    _, right_to_left, other = capsys.readouterr().out.splitlines()
    cell = r"שלום\u2068"
    assert right_to_left == (f"\u2068{cell}\u2069  17" if is_terminal else f"{cell}  17")
    assert other == f"{'Zoë':<10}  18"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_on_standard_error_if_that_is_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_terminal: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    with progress("checking", 2) as add:
        add(2)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("checking" in shown.err) is is_terminal
    assert is_terminal or shown.err == ""


TERMINAL = ROOT / "commands" / "terminal.py"
COMMANDS = [*sorted({*TERMINAL.parent.glob("*.py")} - {TERMINAL}), ROOT / "manage.py"]


@pytest.mark.parametrize("file", COMMANDS, ids=path_in_repository)
def test_commands_print_through_one_module_only(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    named = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    others = {name for name in named if name.startswith("click.")} & PRINTERS
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    others |= {name for name in calls if name == "print" or name.endswith(".show")}
    others |= {name for name in named if name.startswith(("sys.stderr", "sys.stdout."))} - ALLOWED
    assert others == set()


@pytest.mark.parametrize("command", [(), ("users",)])
def test_without_a_command_the_help_is_shown_line_by_line(command: tuple[str, ...]) -> None:
    shown = manage(*command).stderr
    assert shown.startswith("Usage: manage.py")
    assert "\\n" not in shown
    assert "\nCommands:\n" in shown


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_a_command_that_is_not_confirmed_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    with pytest.raises(click.exceptions.Exit) as exited:
        confirm("Delete susan@example.com?")
    assert exited.value.exit_code == 1
    assert capsys.readouterr().err == "Cancelled; nothing was changed.\n"


@pytest.mark.parametrize("prompt", [confirm, prompt_secret])
def test_input_that_is_not_utf_8_is_rejected_with_a_message(
    monkeypatch: pytest.MonkeyPatch, prompt: Callable[[str], object]
) -> None:
    """A terminal in Latin-1 sends it."""
    typed = io.TextIOWrapper(io.BytesIO(b"J\xfcrgen 12345\n"), "utf-8")
    monkeypatch.setattr("sys.stdin", typed)
    monkeypatch.setattr("getpass.getpass", input)
    with pytest.raises(click.UsageError, match=r"The input is not UTF-8\."):
        prompt("Password")
