"""What tests need: declared by each, named if it is missing, and required before a merge."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.configuration import ROOT
from tests.harness.programs import PROGRAMS

PROGRAMS_MISSING = """
import pytest
@pytest.mark.needs("caddy")
@pytest.mark.parametrize("number", [1, 2])
def test_caddy(number): raise AssertionError
@pytest.mark.needs("caddy", "promtool")
def test_both(): raise AssertionError
def test_neither(): pass
"""
ABILITIES_MISSING = """
import os, pytest, socket, subprocess
def refuse(*_, **__): raise OSError
os.geteuid, socket.create_server, subprocess.run = lambda: 1000, refuse, refuse
@pytest.mark.needs("root", "mount namespaces")
def test_mount(): raise AssertionError
@pytest.mark.needs("IPv6")
def test_address(): raise AssertionError
def test_neither(): pass
"""
SKIPPED_OTHERWISE = """
import pytest
@pytest.mark.skipif(True, reason="by a mark")
def test_mark(): raise AssertionError
def test_call(): pytest.skip("by a call")
@pytest.fixture
def late():
    yield
    pytest.skip("after it passed")
def test_fixture(late): pass
"""
EXPECTED_TO_FAIL = """
import pytest
@pytest.mark.xfail
def test_mark(): raise AssertionError
@pytest.mark.xfail(run=False)
def test_without_a_run(): raise AssertionError
def test_call():
    pytest.xfail("by a call")
    raise AssertionError
"""
SKIPPED_MODULE = """
import pytest
pytest.skip("a whole module", allow_module_level=True)
"""
LEFT_OUT = (
    *(PROGRAMS_MISSING, ABILITIES_MISSING, SKIPPED_OTHERWISE, EXPECTED_TO_FAIL),
    *(SKIPPED_MODULE, SKIPPED_MODULE),
)
WITHOUT_PARAMETERS = """
import pytest
@pytest.mark.parametrize("number", [])
def test_number(number): pass
"""
UNDECLARED = """
from tests.harness.programs import get_program
def test_nginx(): get_program("nginx")
"""


def run_tests(folder: Path, texts: tuple[str, ...], *options: str) -> tuple[int, list[str]]:
    """Run test modules where no program is found; return the exit status and the last lines."""
    for number, text in enumerate(texts):
        (folder / f"test_{number}.py").write_text(text, encoding="utf-8")
    configuration = ("-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider")
    plugin = ("-p", "tests.harness.needs")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *configuration, *plugin, *options, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    return ended.returncode, [line for line in ended.stdout.splitlines() if line]


@pytest.fixture(scope="module", params=["-n=0", pytest.param("-n=1", marks=pytest.mark.long)])
def usual_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, list[str]]:
    return run_tests(tmp_path_factory.mktemp("usual"), LEFT_OUT, request.param)


@pytest.fixture(scope="module")
def strict_run(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("strict")
    (folder / "nginx").touch(0o755)
    texts = (*LEFT_OUT, WITHOUT_PARAMETERS, UNDECLARED)
    options = ("--require-programs", "--continue-on-collection-errors", "-n=1")
    status, lines = run_tests(folder, texts, *options)
    assert status == pytest.ExitCode.TESTS_FAILED, lines
    return lines


def test_the_last_lines_say_why_tests_were_skipped(usual_run: tuple[int, list[str]]) -> None:
    status, lines = usual_run
    assert status == 0, lines
    assert lines[-10:-1] == [
        "2 skipped: a whole module",
        "1 skipped: after it passed",
        "1 skipped: by a call",
        "1 skipped: by a mark",
        "1 test needs IPv6",
        "3 tests need caddy (package caddy). To install: sudo make programs",
        "1 test needs mount namespaces",
        "1 test needs promtool (package prometheus). To install: sudo make programs",
        "1 test needs root",
    ]
    assert "3 passed, 10 skipped, 3 xfailed" in lines[-1]


def test_where_programs_are_required_each_skipped_test_fails(strict_run: list[str]) -> None:
    assert {
        "needs caddy (package caddy). To install: sudo make programs",
        *("needs mount namespaces; root", "needs IPv6"),
        *("by a mark", "by a call", "after it passed"),
    } < set(strict_run)
    assert "5 failed, 3 passed, 10 errors" in strict_run[-1]


def test_where_programs_are_required_each_skipped_module_fails(strict_run: list[str]) -> None:
    forbidden = "--require-programs forbids skipping tests: "
    assert {f"{forbidden}test_4.py", f"{forbidden}test_5.py"} < set(strict_run)
    assert strict_run.count("a whole module") == 2


def test_where_programs_are_required_xfail_has_no_effect(strict_run: list[str]) -> None:
    names = ("test_mark", "test_without_a_run", "test_call")
    assert {f"FAILED test_3.py::{name} - AssertionError" for name in names} < set(strict_run)


def test_a_test_without_parameters_fails_instead_of_being_skipped(strict_run: list[str]) -> None:
    assert any("Empty parameter set in 'test_number'" in line for line in strict_run)


def test_a_program_that_a_test_does_not_declare_fails_it_although_installed(
    strict_run: list[str],
) -> None:
    assert any("the test lacks needs('nginx')" in line for line in strict_run)


def is_argument(node: ast.expr) -> bool:
    """Return whether this may follow a program in a command, and not in a list of programs."""
    return not (isinstance(node, ast.Constant) and node.value in {*PROGRAMS, ""})


def bare_commands(text: str) -> list[str]:
    """Return the programs that commands start without ``get_program``."""
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case (
                ast.List(elts=[ast.Constant(value=name), second, *_])
                | ast.Tuple(elts=[ast.Constant(value=name), second, *_])
                | ast.Call(
                    func=ast.Attribute(attr="create_subprocess_exec"),
                    args=[ast.Constant(value=name), second, *_],
                )
            ) if name in PROGRAMS and is_argument(second):
                found.append(str(name))
            case ast.Call(func=ast.Attribute(value=command, attr="split")):
                words = ast.unparse(command).lstrip("f'").split()
                found += [name for name in PROGRAMS if name in words[:1]]
    return found


@pytest.mark.parametrize(
    "command",
    [
        'run(["openssl", "req"])',
        'run([*("openssl", "req", "-x509"), *options])',
        'start = ("openssl", name)',
        'await asyncio.create_subprocess_exec("openssl", "s_client", stdin=PIPE)',
        'run(f"openssl ec -in {key}".split())',
    ],
)
def test_a_command_that_starts_a_program_by_its_bare_name_is_found(command: str) -> None:
    assert bare_commands(f"async def work(): {command}") == ["openssl"]
    declared = command.replace("openssl", "python3")
    assert bare_commands(f"async def work(): {declared}") == []


@pytest.mark.parametrize("folder", ["tests", "soak", "bench"])
def test_commands_start_the_programs_of_packages_by_get_program(folder: str) -> None:
    found = {
        str(file.relative_to(ROOT)): names
        for file in sorted((ROOT / folder).rglob("*.py"))
        if (names := bare_commands(file.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_what_must_pass_before_a_merge_is_described() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "\nmake test ARGS=--require-programs\nmake lint\n" in script
    for text in (script, (ROOT / "CONTRIBUTING.md").read_text("utf-8")):
        words = re.sub(r"\n(# )?", " ", text)
        assert "lint, and all tests except those of `make test-long`" in words
