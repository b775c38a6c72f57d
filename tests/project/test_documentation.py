"""The documentation describes everything that exists, and nothing else."""

import ast
import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from handlers import routes
from handlers.docs import StaticDocumentHandler
from handlers.static_documents import DOCS_PATH, OPENAPI_PATH
from pages import page_routes
from rules.errors import Problem, problem_types
from settings import FIELDS
from settings.renamed import RENAMED
from tests.harness import api_reference, command_reference
from tests.harness.configuration import ROOT, SOURCE_PATHS, path_in_repository, settings_with
from tests.harness.pages import SHOWN_URL, blocks, commands
from wiring.documents import static_documents

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "client/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
# All of them, also those that are read on their own, such as the results of measurements.
LINKED = sorted(
    page
    for pattern in ("*.md", "*/*.md", "*/*/*.md")
    for page in ROOT.glob(pattern)
    if not page.relative_to(ROOT).parts[0].startswith(".")
)
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
# Generated pages list what exists, and explain nothing.
GENERATED = {api_reference.PAGE, command_reference.PAGE}
WRITTEN = "\n".join(page.read_text("utf-8") for page in PAGES if page not in GENERATED)
PROBLEMS = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
PROBLEM_CLASSES = list(problem_types())


def documented_calls(text: str) -> set[tuple[str, str]]:
    """Return method and path of each call in a text or in a curl command."""
    calls = set(re.findall(r"\b([A-Z]+) (/[a-z/]+(?:{id}|\.json)?)", text))
    for language, block in blocks(text):
        for command in commands(block) if language == "sh" else []:
            for path in re.findall(re.escape(SHOWN_URL) + r"(/[a-z/]+(?:\$ID|\.json)?)", command):
                method = re.search(r"-X ([A-Z]+)", command)
                usual = "POST" if " -d " in command.partition("|")[0] else "GET"
                calls.add((method[1] if method else usual, path.replace("$ID", "{id}")))
    return calls


def section_of(problem: type[Problem]) -> str:
    return PROBLEMS.partition(f"\n## {problem.name}\n")[2].partition("\n## ")[0].strip()


PATHS = [*routes, (OPENAPI_PATH, StaticDocumentHandler), (DOCS_PATH, StaticDocumentHandler)]
CALLS = {
    (method, path.replace("([^/]+)", "{id}")) for path, handler in PATHS for method in handler.calls
} | {(method, "/metrics") for method in ("GET", "HEAD")}


@pytest.mark.parametrize("call", sorted(call for call in CALLS if call[0] != "HEAD"))
def test_every_call_is_documented(call: tuple[str, str]) -> None:
    assert call in documented_calls(WRITTEN)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options_are_documented(method: str) -> None:
    assert f"`{method}`" in TEXT


def test_no_unknown_call_is_documented() -> None:
    assert documented_calls(TEXT) <= CALLS


def test_exactly_the_existing_pages_are_documented(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text("<svg/>", "utf-8")
    parts = static_documents(settings_with(PAGES__LOGO=tmp_path / "logo.svg"))
    text = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`/.*?) \|", text, re.MULTILINE)
    assert {path for row in rows for path in re.findall("`(.+?)`", row)} == {
        *(path.replace("([^/]+)", "{id}").replace("\\", "") for path, _ in page_routes),
        *(path for path in parts if path.startswith("/auth/")),
    }


def test_exactly_the_existing_problem_types_are_documented() -> None:
    documented = re.findall(r"^## (.*)$", PROBLEMS, re.MULTILINE)
    assert sorted(documented) == sorted(cls.name for cls in PROBLEM_CLASSES)


@pytest.mark.parametrize("problem", PROBLEM_CLASSES, ids=lambda problem: problem.name)
def test_a_problem_is_documented_with_its_status(problem: type[Problem]) -> None:
    assert re.match(rf"{problem.status}\b", section_of(problem))


def test_every_problem_is_documented_with_its_title() -> None:
    missing = [cls.title for cls in PROBLEM_CLASSES if cls.title not in section_of(cls)]
    assert missing == []


@pytest.mark.parametrize("problem", PROBLEM_CLASSES, ids=lambda problem: problem.name)
def test_a_problem_is_explained_to_users_and_developers(problem: type[Problem]) -> None:
    found = re.findall(r"^- \*\*(.*?):\*\* \S", section_of(problem), re.MULTILINE)
    assert found == ["Seen when", "Show the user", "Developer"]


def test_the_sample_problem_has_an_existing_type() -> None:
    [shown] = [json.loads(block) for language, block in blocks(PROBLEMS) if language == "json"]
    [problem] = [cls for cls in PROBLEM_CLASSES if shown["type"].endswith("#" + cls.name)]
    assert shown["title"] == problem.title
    assert shown["status"] == problem.status
    assert set(shown) == {"type", "title", "status", "detail", "request_id"}


def test_exactly_the_existing_settings_are_documented() -> None:
    documented = re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", SETTINGS, re.MULTILINE)
    assert sorted(documented) == sorted(
        f"{section}.{key}" for section, keys in FIELDS.items() for key in keys
    )


SHIPPED = tomllib.loads((ROOT / "settings.toml").read_text(encoding="utf-8"))
SETTINGS_ROWS = {
    (row[1], row[2]): (row[3], row[4])
    for row in re.finditer(r"^\| `(\w+)\.(\w+)` \| ([^|]*) \| ([^|]*) \|", SETTINGS, re.MULTILINE)
}


def as_documented(value: object) -> str:
    if value == "":
        return "empty"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


@pytest.mark.parametrize(("section", "key"), SETTINGS_ROWS)
def test_the_documented_defaults_are_those_of_the_shipped_file(section: str, key: str) -> None:
    expected = as_documented(SHIPPED["default"][section][key])
    for profile in ("testing", "production"):
        if key in SHIPPED[profile].get(section, {}):
            expected += f"; {profile}: {as_documented(SHIPPED[profile][section][key])}"
    assert SETTINGS_ROWS[section, key][0] == expected


def bounds_of(section: str, key: str) -> set[float]:
    """Return the bounds of a numeric setting."""
    values = [
        getattr(constraint, name)
        for constraint in FIELDS[section][key].metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(constraint, name)
    ]
    return {float(value) for value in values}


@pytest.mark.parametrize(("section", "key"), SETTINGS_ROWS)
def test_the_documented_bounds_are_those_of_the_model(section: str, key: str) -> None:
    documented = SETTINGS_ROWS[section, key][1].replace("30 days", "2592000")
    numbers = {float(number) for number in re.findall(r"\d+(?:\.\d+)?", documented)}
    if key == "pool_max":
        numbers.add(1)  # the bound is pool_min
    assert bounds_of(section, key) <= numbers


SAMPLES = [file for file in (ROOT / "deploy").rglob("*") if file.is_file()]
SAMPLES = [file for file in SAMPLES if file.suffix != ".pyc"]
NAMED_IN = [*PAGES, ROOT / "settings.toml", *SAMPLES, ROOT / "CHANGELOG.md"]


@pytest.mark.parametrize("file", NAMED_IN, ids=path_in_repository)
def test_each_setting_in_a_text_exists(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    schema = (ROOT / "schema.sql").read_text(encoding="utf-8")
    sections = "|".join(FIELDS)
    for section, key in re.findall(rf"(?<![\w/.@-])({sections})\.([a-z_]+)\b(?![/(])", text):
        is_file = key in {"md", "py", "css", "js"}
        is_column = f"    {key} " in schema
        assert (
            is_file
            or is_column
            or key in FIELDS[section]
            or (section, key) in RENAMED
            or key == "pool_mx"  # the sample of a misspelled setting
        ), f"{section}.{key}"


def test_make_lint_checks_the_links_of_every_page() -> None:
    [names] = re.findall(r"^PAGES := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    checked = {
        page
        for name in names.split()
        for path in ROOT.glob(name)
        for page in ([path] if path.is_file() else path.glob("**/*.md"))
    }
    assert checked == {*LINKED}
    assert {*PAGES} < checked


@pytest.mark.parametrize("page", LINKED, ids=path_in_repository)
def test_links_lead_to_existing_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", LINKED, ids=path_in_repository)
def test_a_link_text_that_is_a_file_name_is_that_of_the_target(page: Path) -> None:
    links = re.findall(
        r"\[`?([\w./-]+\.\w+)`?\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")
    )
    wrong = [(text, target) for text, target in links if Path(text).name != Path(target).name]
    assert wrong == []


def sections_of(page: Path) -> set[str]:
    """Return the fragments of the headings of a page."""
    text = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=path_in_repository)
def test_links_to_sections_lead_to_headings(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, fragment in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text):
        assert fragment in sections_of(page.parent / target if target else page), fragment


ASVS = (ROOT / "docs" / "asvs.md").read_text(encoding="utf-8")
# The requirements of OWASP ASVS 5.0.0 in the chapters and the section that the page covers.
LEVEL_1 = """
    6.1.1 6.2.1 6.2.2 6.2.3 6.2.4 6.2.5 6.2.6 6.2.7 6.2.8 6.3.1 6.3.2 6.4.1 6.4.2 7.2.1 7.2.2
    7.2.3 7.2.4 7.4.1 7.4.2 9.1.1 9.1.2 9.1.3 9.2.1 11.3.1 11.3.2 11.4.1 13.4.1 14.2.1 14.3.1
"""
LEVEL_2 = """
    6.1.2 6.1.3 6.2.9 6.2.10 6.2.11 6.2.12 6.3.3 6.3.4 6.4.3 6.4.4 6.5.1 6.5.2 6.5.3 6.5.4
    6.5.5 6.6.1 6.6.2 6.6.3 6.8.1 6.8.2 6.8.3 6.8.4 7.1.1 7.1.2 7.1.3 7.3.1 7.3.2 7.4.3 7.4.4
    7.4.5 7.5.1 7.5.2 7.6.1 7.6.2 9.2.2 9.2.3 9.2.4 11.1.1 11.1.2 11.2.1 11.2.2 11.2.3 11.3.3
    11.4.2 11.4.3 11.4.4 11.5.1 11.6.1 12.3.1 12.3.2 12.3.3 12.3.4 13.1.1 13.2.1 13.2.2 13.2.3
    13.2.4 13.2.5 13.3.1 13.3.2 13.4.2 13.4.3 13.4.4 13.4.5 14.1.1 14.1.2 14.2.2 14.2.3 14.2.4
    14.3.2 14.3.3 16.1.1 16.2.1 16.2.2 16.2.3 16.2.4 16.2.5 16.3.1 16.3.2 16.3.3 16.3.4 16.4.1
    16.4.2 16.4.3 16.5.1 16.5.2 16.5.3
"""
ASVS_LEVELS = dict.fromkeys(LEVEL_1.split(), "1") | dict.fromkeys(LEVEL_2.split(), "2")
ASVS_ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in ASVS.splitlines()
    if re.match(r"\| \d", line)
]


def named_tests(text: str) -> set[str]:
    return set(re.findall(r"[` ](?:tests/)?((?:\w+/)*test_\w+\.py::\w+)`", text))


@cache
def existing_tests() -> set[str]:
    folder = ROOT / "tests"
    return {
        f"{file.relative_to(folder)}::{node.name}"
        for file in folder.rglob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


@pytest.mark.parametrize("page", PAGES, ids=path_in_repository)
def test_each_test_in_a_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert named_tests(text) - existing_tests() == set()
    for file in re.findall(r"`((?:\w+/)*test_\w+\.py)`", text):
        assert (ROOT / "tests" / file.removeprefix("tests/")).exists(), file


_DIRECTORIES = "|".join(name for name in SOURCE_PATHS if not name.endswith(".py"))


def named_sources(text: str) -> set[str]:
    """Return the source files in a text; tests may be given relative to ``tests/``."""
    return set(re.findall(rf"(?<![\w/.-])(?:{_DIRECTORIES}|tests)/[\w/-]+\.py\b", text))


@pytest.mark.parametrize("page", PAGES, ids=path_in_repository)
def test_each_source_file_in_a_page_exists(page: Path) -> None:
    named = named_sources(page.read_text(encoding="utf-8"))
    roots = (ROOT, ROOT / "tests")
    assert [
        file for file in sorted(named) if not any((root / file).exists() for root in roots)
    ] == []


def test_source_files_in_pages_are_found() -> None:
    assert {"rules/rejections.py", "db/pool.py", "transport/connection.py"} <= named_sources(TEXT)
    assert named_sources("by `rules/gone.py`, (db/gone.py) [x](../ops/gone.py)") == {
        "rules/gone.py",
        "db/gone.py",
    }


def test_each_requirement_of_the_asvs_has_one_row_with_its_level() -> None:
    rows = [(row[0], row[1]) for row in ASVS_ROWS]
    assert sorted(rows) == sorted(ASVS_LEVELS.items())


@pytest.mark.parametrize("row", ASVS_ROWS, ids=lambda row: row[0])
def test_each_requirement_has_a_verdict_with_tests_or_a_reason(row: list[str]) -> None:
    _, _, requirement, verdict, how, tests = row
    assert requirement
    if verdict == "met":
        assert named_tests(tests)
    else:
        assert verdict in {"not met", "n. a."}
        assert how
