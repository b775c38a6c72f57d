"""docs/inventory.md lists what the code and the schema contain."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from services.event_kinds import EventKind
from tests.harness.configuration import ROOT, SOURCE_PATHS

INVENTORY = (ROOT / "docs" / "inventory.md").read_text(encoding="utf-8")
TRAIL = (ROOT / "docs" / "audit-trail.md").read_text(encoding="utf-8")
FOLDERS = tuple(name for name in SOURCE_PATHS if (ROOT / name).is_dir())
SOURCES = sorted(
    [*ROOT.glob("*.py"), *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))]
)
CRYPTOGRAPHY = {
    "argon2", "bcrypt", "Crypto", "cryptography", "hashlib", "hmac", "itsdangerous", "nacl",
    "passlib", "secrets", "ssl", "werkzeug",
}  # fmt: skip
CONNECTIONS = {
    "aiohttp", "aiopg", "aiosmtplib", "ftplib", "http.client", "httpx", "opentelemetry",
    "psycopg2", "requests", "smtplib", "socket", "subprocess", "tornado.httpclient",
    "tornado.tcpclient", "urllib.request",
}  # fmt: skip
# Where a caller may guess at what is compared.
COMPARISONS = {
    ("rules/form_tokens.py", "is_form_token"),
    ("rules/mail_secrets.py", "has_code"),
    ("rules/mail_secrets.py", "has_token"),
    ("rules/password_cache.py", "matches"),
    ("rules/tokens.py", "verifies"),
    ("services/clients.py", "_is_right"),
}
PREDICTABLE = {"numpy", "random", "time.random"}


def section(name: str) -> str:
    return INVENTORY.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


@cache
def imports_of(file: Path) -> frozenset[str]:
    """Return each module that a file imports, and its packages."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            found |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return frozenset(found)


def importers_of(modules: set[str]) -> set[str]:
    return {str(file.relative_to(ROOT)) for file in SOURCES if modules & imports_of(file)}


def constant_time_in(file: Path) -> Iterator[tuple[str, str]]:
    """Return each function of a file that compares in constant time, and nothing by == or !=."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
            operators = {type(each) for each in ast.walk(node)}
            if "compare_digest" in names and not operators & {ast.Eq, ast.NotEq}:
                yield str(file.relative_to(ROOT)), node.name


def files_in(text: str) -> set[str]:
    return set(re.findall(r"`([\w/]+\.py)`", text))


def columns() -> set[str]:
    """Return each column of the schema as table.column."""
    schema = (ROOT / "schema.sql").read_text(encoding="utf-8")
    tables = re.findall(r"^CREATE TABLE (\w+) \((.*?)^\)", schema, re.MULTILINE | re.DOTALL)
    return {
        f"{table}.{column}"
        for table, body in tables
        for column in re.findall(r"^    ([a-z_]+) ", body, re.MULTILINE)
    }


def is_impersonal(column: str) -> bool:
    """Return whether a column is a time, a count or a version, which need no classification."""
    name = column.partition(".")[2]
    is_time = name.endswith(("_at", "_until", "_hour")) or name in {"at", "until"}
    return is_time or name in {"failures", "only_row", "version", "password_version"}


def test_every_module_that_uses_cryptography_is_in_the_inventory() -> None:
    listed = files_in(section("Algorithms"))
    assert importers_of(CRYPTOGRAPHY) - listed == set()
    assert {file for file in listed if not (ROOT / file).exists()} == set()


def test_every_module_that_connects_or_listens_is_in_the_inventory() -> None:
    listed = files_in(section("Connections"))
    assert importers_of(CONNECTIONS) - listed == set()
    assert {file for file in listed if not (ROOT / file).exists()} == set()


def test_no_weak_hash_function_is_used() -> None:
    weak = re.compile(r"\bhashlib\.(md5|sha1|new)\b|\bSHA1\b|usedforsecurity", re.IGNORECASE)
    users = {file.name for file in SOURCES if weak.search(file.read_text(encoding="utf-8"))}
    assert users <= {"imported_formats.py"}, "imported hashes may be PBKDF2 over SHA-1"


def test_secrets_are_compared_in_constant_time() -> None:
    assert {each for file in SOURCES for each in constant_time_in(file)} == COMPARISONS


def test_no_predictable_generator_is_used() -> None:
    assert importers_of(PREDICTABLE) == set()


def test_every_column_of_the_schema_is_classified() -> None:
    listed = re.findall(r"`([a-z_]+\.[a-z_]+)`", section("Data"))
    listed = [name for name in listed if name in columns()]
    assert len(listed) == len(set(listed))
    assert {column for column in columns() if not is_impersonal(column)} - set(listed) == set()


def test_each_level_has_its_protection() -> None:
    rows = re.findall(r"^\| (\w+) \| (.+) \| (.+) \| (.+) \|$", section("Data"), re.MULTILINE)
    assert [row[0] for row in rows[1:]] == ["secret", "personal", "pseudonymous", "internal"]
    assert all(cell.strip() for row in rows for cell in row)


@pytest.mark.parametrize("kind", EventKind)
def test_every_kind_of_event_is_documented(kind: EventKind) -> None:
    assert f"`{kind.value}`" in TRAIL
