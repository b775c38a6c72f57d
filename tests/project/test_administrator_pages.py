"""The commands, samples and demands in the pages for administrators are those of the program."""

import re
import shlex
import tomllib
from itertools import combinations
from pathlib import Path

import pytest

from settings import FIELDS, SettingsError, load_settings
from tests.harness.command_line import Completed, manage
from tests.harness.configuration import ROOT, path_in_repository

DOCS = ROOT / "docs"
PAGES = {page.name: page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))}
SETTINGS = PAGES["settings.md"]
PASSWORD = "a sentence that only Susan knows"
EMAIL = "susan@example.com"
NEW_KEY = "x3vNw9QmZ0rTfBq7LdYs1KaUeHc5JgPo8WiXnRtMbVk"
PREFIX = re.compile(r"(?:\.venv/bin/python manage\.py|userauth-manage) ([^|>&#;`\n]*)")


def blocks(text: str, language: str = r"\w*") -> list[str]:
    """Return the fenced blocks of a language, those in lists too."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [block for _, block in found]


def commands_in(text: str) -> list[str]:
    """Return the administrator's commands in the blocks and the code spans of a text, in order."""
    found = []
    is_block = False
    for line in text.splitlines():
        is_block ^= line.lstrip().startswith("```")
        for part in [line.strip()] if is_block else re.findall(r"`([^`]+)`", line):
            found += [match[1].strip()] if (match := PREFIX.match(part)) else []
    return found


def test_the_commands_of_the_pages_are_found() -> None:
    text = (
        "Run `userauth-manage users list | cat`:\n\n   ```sh\n   userauth-manage backup -\n   ```\n"
    )
    assert commands_in(text) == ["users list", "backup -"]


@pytest.fixture
def keys(tmp_path: Path) -> str:
    """Create a keys file; return its path."""
    file = tmp_path / "keys"
    file.write_text(f"{NEW_KEY}\n")
    file.chmod(0o600)
    return str(file)


@pytest.mark.parametrize(
    "page", ["keys-and-secrets.md", "incidents.md", "personal-data.md", "administration.md"]
)
def test_the_commands_of_a_page_succeed_in_order(dsn: str, keys: str, page: str) -> None:
    variables = {"DATABASE_URL": dsn, "SECRET_KEYS": "", "USERAUTH_TOKENS__KEYS_FILE": keys}
    manage("users", "add", EMAIL, stdin=PASSWORD, DATABASE_URL=dsn)
    if page == "incidents.md":
        manage("clients", "add", "billing", DATABASE_URL=dsn)
    tables = re.sub(r"^\| \d .*$", "", PAGES[page], flags=re.MULTILINE)  # of exit codes
    run = 0
    for command in commands_in(tables):
        arguments = shlex.split(command)
        if arguments[:2] == ["users", "delete"]:
            arguments.append("--yes")  # there is no terminal
        ended = manage(*arguments, stdin=f"{PASSWORD}\n", **variables)
        # No attempt has failed, so that throttle clear finds nothing.
        expected = 3 if arguments[:2] == ["throttle", "clear"] else 0
        assert ended.returncode == expected, (command, ended)
        run += 1
    assert run >= 4


EXIT_CODES = re.findall(
    r"^\| (\d) \| .* \| `userauth-manage (.*?)`.* \|$", PAGES["administration.md"], re.MULTILINE
)


@pytest.mark.parametrize(("code", "command"), EXIT_CODES)
def test_each_example_of_an_exit_code_exits_with_it(dsn: str, code: str, command: str) -> None:
    manage("clients", "add", "billing", DATABASE_URL=dsn)
    arguments = shlex.split(command.replace("settings.toml", str(ROOT / "settings.toml")))
    assert manage(*arguments, DATABASE_URL=dsn).returncode == int(code)


def test_every_exit_code_has_an_example() -> None:
    assert [code for code, _ in EXIT_CODES] == ["0", "1", "2", "3", "4"]


def without_values(line: str) -> str:
    """Return a line of output with paths, times and numbers made equal."""
    line = re.sub(r"/\S*/", "/", line)
    line = re.sub(r"userauth-\d{8}T\d{6}Z", "userauth-TIME", line)
    return re.sub(r"\(SECRET_KEYS\)|\(\S*keys\)", "(KEYS)", re.sub(r"\b\d{2,}\b|\b0\b", "N", line))


def test_the_sample_of_a_backup_is_what_the_command_prints(
    dsn: str, keys: str, tmp_path: Path
) -> None:
    [shown] = [block for block in blocks(PAGES["backup.md"]) if "verified" in block]
    ended: Completed = manage(
        "backup",
        str(tmp_path),
        DATABASE_URL=dsn,
        SECRET_KEYS="",
        USERAUTH_TOKENS__KEYS_FILE=keys,
    )
    printed = (ended.stdout + ended.stderr).splitlines()
    assert list(map(without_values, printed)) == list(map(without_values, shown.splitlines()))


def faults_of(file: Path, environ: dict[str, str]) -> tuple[str, ...]:
    try:
        load_settings(environ, file)
    except SettingsError as error:
        return error.faults
    return ()


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    file = tmp_path / "settings.toml"
    file.write_bytes((ROOT / "settings.toml").read_bytes())
    return file


def test_the_sample_of_wrong_settings_is_what_the_check_prints(shipped: Path) -> None:
    [shown] = [block for block in blocks(SETTINGS) if "did you mean" in block]
    with shipped.open("a", encoding="utf-8") as file:
        file.write("\n[production.database]\npool_mx = 1\n")
    environ = {"USERAUTH_DATABASE__POOL_MAX": "many", "SECRET_KEYS": "short"}
    assert sorted(faults_of(shipped, environ)) == sorted(shown.splitlines())


REQUIRED = re.findall(
    r"^\| `([A-Z_]+)` \|",
    SETTINGS.partition("## What production requires\n")[2].partition("\n## ")[0],
    re.MULTILINE,
)
SUFFICIENT = {
    "DATABASE_URL": "embedded",
    "SECRET_KEYS": NEW_KEY,
    "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1/32",
}


@pytest.mark.parametrize(
    "given", [chosen for size in range(4) for chosen in combinations(SUFFICIENT, size)]
)
def test_production_starts_with_the_settings_of_the_table_and_with_no_fewer(
    shipped: Path, given: tuple[str, ...]
) -> None:
    assert list(SUFFICIENT) == REQUIRED
    environ = {"APP_SETTINGS": "production"} | {name: SUFFICIENT[name] for name in given}
    assert len(faults_of(shipped, environ)) == len(REQUIRED) - len(given)


# Without settings.md, which has the table.
TEXTS = [
    *(ROOT / "README.md", ROOT / "settings.toml"),
    *(DOCS / name for name in PAGES if name != "settings.md"),
]
DEMAND = re.compile(r"\bproduction\b[^.:|]{0,20}\b(requires|needs|wants|demands)\b", re.IGNORECASE)


@pytest.mark.parametrize("file", TEXTS, ids=path_in_repository)
def test_a_statement_of_what_production_requires_is_complete(file: Path) -> None:
    """Outside the table that is tested, it lists all three settings or links to the table."""
    text = file.read_text(encoding="utf-8").replace("\n# ", "\n")
    for paragraph in re.split(r"\n\n|\n(?=[-|])", text):
        if DEMAND.search(paragraph) and "what-production-requires" not in paragraph:
            for word in ("DATABASE_URL", "SECRET_KEYS", "HTTPS|certificate"):
                assert re.search(word, paragraph), paragraph


SHIPPED = (ROOT / "settings.toml").read_text(encoding="utf-8")
DEFAULTS = tomllib.loads(SHIPPED)["default"]
UNITS = {65536: "64 KiB", 28800: "8 h", 86400: "1 day", 2592000: "30 days"}
LIMITS = [
    (row, re.findall(r"`([a-z]+)\.([a-z_]+)`", row))
    for row in PAGES["limits.md"].partition("\n## Limits\n")[2].partition("\n## ")[0].splitlines()
    if row.startswith("| ")
]


@pytest.mark.parametrize(("row", "settings"), [each for each in LIMITS if each[1]])
def test_the_limits_of_the_page_are_the_defaults(row: str, settings: list[tuple[str, str]]) -> None:
    for section, key in settings:
        value = DEFAULTS[section][key]
        assert re.search(rf"\b{UNITS.get(value) or f'{value:,g}'}\b", row), (section, key)


def commented_settings() -> dict[tuple[str, str], str]:
    """Return the comment of each setting in the shipped file."""
    found: dict[tuple[str, str], str] = {}
    section = key = ""
    for line in re.split(r"\n\[(?!default\.)", SHIPPED)[0].splitlines():
        if heading := re.match(r"\[default\.(\w+)\]", line):
            section, key = heading[1], ""
        elif assignment := re.match(r"(\w+) *=.*?  # (.*)", line):
            key = assignment[1]
            found[section, key] = assignment[2]
        elif key and line.startswith(" "):
            found[section, key] += " " + line.strip().removeprefix("# ")
    return found


COMMENTS = commented_settings()
SPELLED = {"30 days": "2592000", "10 years": "315360000", "256 KiB": "262144", "any free": "0"}


@pytest.mark.parametrize(("section", "key"), COMMENTS)
def test_the_bounds_in_the_comments_of_the_shipped_file_are_those_of_the_model(
    section: str, key: str
) -> None:
    comment = COMMENTS[section, key].replace("pool_min to", "1 to")
    for spelled, number in SPELLED.items():
        comment = comment.replace(spelled, number)
    numbers = {float(number) for number in re.findall(r"\d+(?:\.\d+)?", comment)}
    bounds = {
        float(getattr(constraint, name))
        for constraint in FIELDS[section][key].metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(constraint, name)
    }
    assert bounds <= numbers
