"""The texts of the project use the usual words of the field, in place of private ones."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from manage import cli
from tests.harness.configuration import ROOT, path_in_repository

# Each pattern is matched with underscores as spaces, so that names are checked like prose.
REPLACEMENTS: Mapping[str, str] = {
    r"who(so)?ever": "the caller, any client that …",
    r"(some|any|every)body": "a user, anyone, all clients",
    r"(?<!user )nobody('s)?": "no one, no user, no client; the Unix account is `NOBODY`",
    r"whom": "the user that …, the owner",
    r"who (asks|asked|is asking|calls|called)": "the caller",
    r"tells|told|to tell (?!users)": "returns, reports, shows, logs, distinguishes",
    r"(?<!cannot )tell (?=how|that|what|whe|which|who|why)": "return, report, show",
    r"said": "output, message, reported",
    r"let(s|ting)? go": "disconnect, release",
    r"(hangs?|hung|hanging) up": "disconnect",
    r"(go|goes|went|gone) away": "disconnect, stop, is removed",
    r"(is|are|was|were) gone": "was deleted, has disconnected, has exited",
    r"(go|goes|going|went) (by|over)": "use, read, process",
    r"(come|comes|came|go|goes|went|brings?|brought) along": "embedded, included, forwarded",
    r"(brings?|brought|bringing) (in|over|back)": "import, convert, restore",
    r"(gives?|gave|given) back": "return, export",
    r"(holds?|held|holding) on to": "keep",
    r"at the will of": "controlled by",
    r"(stands?|stood) (in the|beside|there|here|over)": "is in, is next to",
    r"(that|which|what|who|it|they) (is|are|was|were)( not| already| still)? there": "exists",
    r"(tokens?|rows?|counts?|it|they) (is|are|was|were) over(?! (\d|a|the|HTTP))": "has expired",
    r"what is over": "expired rows",
    r"good no more|no good": "no longer valid, invalid",
    r"([a-z]+ed|is) no more(?! than)": "no longer",
    r"(token|password|secret|key|credential|hash|pepper|certificate)e?s? "
    r"(is|are|was|were|stays?)( no longer| still| not)? good": "valid",
    r"good (tokens?|passwords?|secrets?|keys?|ones?|until)": "valid",
    r"(live|living|dead) tokens?": "valid token, revoked token",
    r"(?<!\.)end(s|ed)? (all |the |a |one |other |every )*tokens?": "revoke",
    r"turned away": "rejected",
    r"looked at": "checked, inspected, read",
    r"believe[sd]?": "trust",
    r"hears?|heard": "receives, is notified",
    r"anew": "again",
    r"mend(s|ed|ing)?": "fix, repair",
    r"dear": "expensive",
    r"reckon(s|ed|ing)?": "compute",
    r"in one hand": "in one place",
    r"(makes?|made|making) way": "be displaced",
    r"(raises? [a-z]+|return (none|true|false)|or none) where": "if",
    r"(does|do|is|are|was|were) not [a-z ]{0,12}any ?more": "no longer",
    r"trusted networks? of (the|an|its) account": "usual network",
    r"right (password|secret|credential)s?": "correct",
    r"log-ins?": "login",
    r"look-ups?": "lookup",
    r"time-outs?": "timeout",
    r"e-mails?": "email, email address",
    r"(a|each|its|own|rules|the|which) rooms?": "directory, layer",
    r"URL nouns?|(module|path)s? of (a|its|the) noun": "resource",
    r"tests? (is|are|was|were) left out": "skipped",
    r"(bring|brings) with (it|them)": "dependencies of",
    r"behind(?= (the )?`?#)|arrived behind": "after",
    r"(is|are|was|were|has|have|had) [a-z]+ already|exists? already": "already disabled",
    r"known are": "the known names are",
    # To give up a slot means to release it.
    r"(gives?|gave|giving) (it|them) up|(gives?|gave|giving) up (?=[{\d]|(\w+ )?messages?)"
    r"|messages? that (is|are|was|were) given up": "give up on",
    r"by NTP": "with NTP",
    r"last log in": "last login",
}
PATTERN = re.compile(rf"\b(?:{'|'.join(REPLACEMENTS)})(?:\b|(?<= ))", re.IGNORECASE)
# In names, max_ and min_ are the usual prefixes of a bound. (most_in_a_row is a renamed setting.)
BOUND = re.compile(
    r"\b_?(?:most|least)_(?!in_a_row|per_account|likely|privilege|recent)[a-z]+", re.IGNORECASE
)
# db/schemas and db/migrations do not change; the texts of pages are in several languages.
CHECKED = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs"),
    *("Makefile", "pyproject.toml"),
    *("requirements.txt", "requirements-dev.txt", "requirements-bench.txt"),
    *("settings.toml", "schema.sql", "server.py", "manage.py"),
    *("wiring", "pages", "commands", "handlers", "contract", "services", "mail", "transport"),
    *("postgres", "rules", "db", "settings", "ops", "client", "deploy", "web", "bench", "soak"),
    "tests",
)
FROZEN = ("db/schemas", "db/migrations", "pages/languages")
SUFFIXES = {".py", ".md", ".toml", ".sql", ".sh", ".conf", ".yml", ".service", ".socket", ".lua"}
# The headings that links lead to are checked where they are.
LINK = re.compile(r"\]\([^)\s]*\)")


def files(root: Path, name: str) -> Iterator[Path]:
    """Yield the text files of a directory, or the named file."""
    path = root / name
    frozen = tuple(root / name for name in FROZEN)
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        is_text = file.suffix in SUFFIXES or file.match("requirements*.txt") or file == path
        if is_text and file != Path(__file__) and file.parent not in frozen:
            yield file


def findings(text: str) -> list[str]:
    """Return the private words of a text, with the number of the line of each."""
    return [
        f"{number}: {match[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        for match in (*PATTERN.finditer(line.replace("_", " ")), *BOUND.finditer(line))
        if match[0] != "NOBODY"
    ]


@pytest.mark.parametrize("name", CHECKED)
def test_texts_use_the_usual_words(name: str) -> None:
    found = {
        file.relative_to(ROOT).as_posix(): words
        for file in files(ROOT, name)
        if (words := findings(LINK.sub("]", file.read_text(encoding="utf-8"))))
    }
    assert found == {}


def test_private_words_are_found_in_prose_and_in_names() -> None:
    text = "def test_whoever_asks(most_bytes):\n    # Nobody is told.\n"
    assert findings(text) == ["1: whoever", "1: most_bytes", "2: Nobody", "2: told"]
    text = "The secret is behind `#`.\nIt was disabled already.\nknown are a, b"
    assert findings(text) == ["1: behind", "2: was disabled already", "3: known are"]


@pytest.mark.parametrize(
    "text",
    [
        "It is dead if the server gave it up.",
        "a gave up {{ $value }} messages",
        "details.last_log_in",
        "all messages that were given up",
    ],
)
def test_words_that_mean_something_else_are_found(text: str) -> None:
    assert len(findings(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "It is dead if the server gave up on it.",
        "Postgres gave up its wait; then the caller gave up the slot, and left.",
        "userauth_messages_given_up_total",
        "The server is behind nginx.",
    ],
)
def test_words_with_their_usual_meaning_are_not_found(text: str) -> None:
    assert findings(text) == []


def test_the_usual_words_are_not_found() -> None:
    text = "It is over 250 lines long; no more than 5 tokens are valid until the caller logs in."
    assert findings(text) == []
    text = "The server behind a proxy is already known: it has already been started, and is up."
    assert findings(text) == []


# What users read has one word for a thing: names in the code may still have another one.
PROSE: Mapping[str, str] = {
    r"in a row": "consecutive",
    r"(the|an) operators?(?! of)(?!, or a table)": "administrator",
    r"(many|more|few|wrong|each|every|ten|failed) (tries|try)\b": "attempts",
    r"refus(e|es|ed|ing|als?)": "reject",
    r"folders?": "directory",
    r"(?<!segmentation )faults?": "error",
    r"from elsewhere|failures elsewhere": "from other networks",
    r"(last|usual|home|same|another) place": "usual network",
    r"surplus": "over the limit",
    r"throw(s|n)? out|threw out": "revoke, reject",
    r"brought|bringing": "import, restore, migrate",
    r"(is|are|stays?|keeps?) quiet": "drain, shut down",
    r"head of (a|the|each) (request|response|file|CSV)": "header",
    r"given (cluster|Postgres|database)": "external Postgres",
    r"Postgres of (its|your) own": "embedded Postgres, external Postgres",
    r"gets? in\b|lets? in\b": "log in, admit",
    r"bring(s)? up to date": "migrate",
    r"(program|server) before": "previous version",
    r"who waits": "throttled",
    r"whoever deploys": "administrator",
    r"cannot be had": "is unavailable",
    r"for want of": "without",
    r"of late": "recently",
    r"clients?('s?)? (IP address(es)?|own|disconnect(s|ed)?|logs? in|sent|sends?)": "caller",
    r"clients? that (reads?|closes?|sends?|disconnect(s|ed)?|would|never)": "caller",
    r"contains? clients|clients send": "callers",
}
PROSE_PATTERN = re.compile(rf"\b(?:{'|'.join(PROSE)})\b", re.IGNORECASE)
CODE = re.compile(r"^ *```.*?^ *```$|`[^`]*`|\]\([^)]*\)", re.MULTILINE | re.DOTALL)
READ_BY_USERS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "client/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
LOGGING = {"debug", "info", "warning", "error", "critical", "exception"}


def prose_findings(text: str) -> list[str]:
    """Return the words of a text, outside its code, that users should not have to translate."""
    return [match[0] for match in PROSE_PATTERN.finditer(CODE.sub("", text))]


@pytest.mark.parametrize("page", READ_BY_USERS, ids=path_in_repository)
def test_pages_have_one_word_for_a_thing(page: Path) -> None:
    assert prose_findings(page.read_text(encoding="utf-8")) == []


def help_texts(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Yield the help texts of a command, its options and the commands in it."""
    yield name, command.help or ""
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", "") or ""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from help_texts(inner, f"{name} {inner.name}")


def test_help_texts_have_one_word_for_a_thing() -> None:
    texts = dict(help_texts(cli, "manage.py"))
    assert len(texts) > 40
    assert {name: words for name, text in texts.items() if (words := prose_findings(text))} == {}


def logged_texts(source: str) -> Iterator[str]:
    """Yield the constant parts of the messages that a module logs."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LOGGING
        ):
            for argument in node.args:
                for part in ast.walk(argument):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.value


def test_log_messages_have_one_word_for_a_thing() -> None:
    directories = ("wiring", "handlers", "services", "transport", "postgres", "rules", "db", "ops")
    texts = [
        text
        for directory in directories
        for file in sorted((ROOT / directory).rglob("*.py"))
        for text in logged_texts(file.read_text(encoding="utf-8"))
    ]
    assert len(texts) > 15
    assert [text for text in texts if prose_findings(text)] == []


def test_words_of_prose_are_found_outside_of_code() -> None:
    text = "The folder is refused.\n\n```sh\nls folder\n```\n\n`folder` [page](folder.md)\n"
    assert prose_findings(text) == ["folder", "refused"]
