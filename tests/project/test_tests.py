"""What all tests have in common: names that need no context, and waits with a time limit."""

import ast
import re

import pytest

from tests.harness.configuration import ROOT

TESTS = ROOT / "tests"
# A failure is reported by the name alone.
REFERS_TO_ANOTHER = re.compile(r"def (test_(?:it|nor|so|then|they)_\w+|test_\w+_it_is_[1-5]\d\d)\(")


def unlimited_waits(source: str) -> list[str]:
    """Return the conditions of the loops that only wait: tests/harness/waiting.py has a limit.

    A loop over turns of the event loop, with ``sleep(0)``, counts them for its test.
    """
    return [
        ast.unparse(node.test)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.While) and len(node.body) == 1 and only_waits(node)
    ]


def only_waits(loop: ast.While) -> bool:
    # A condition that calls something may do the work of the loop, such as reading.
    kinds = {type(each) for each in ast.walk(loop.test)}
    [statement] = loop.body
    if isinstance(statement, ast.Pass):
        return ast.Call not in kinds
    is_sleep = ast.unparse(statement).startswith(("await asyncio.sleep(", "time.sleep("))
    is_turn = ast.unparse(statement) == "await asyncio.sleep(0)"
    return is_sleep and not is_turn and not kinds & {ast.Await, ast.NamedExpr}


@pytest.mark.parametrize(
    "loop",
    [
        "while not done:\n    pass",
        "while not done():\n    time.sleep(0.1)",
        "while not done():\n    await asyncio.sleep(0.1)",
    ],
)
def test_a_wait_without_a_limit_is_found(loop: str) -> None:
    assert len(unlimited_waits(loop)) == 1


@pytest.mark.parametrize(
    "loop",
    [
        "while connection.recv(1024):\n    pass",
        "while not done:\n    await asyncio.sleep(0)",
        "while not await done():\n    await asyncio.sleep(0.1)",
        "while not done():\n    assert is_early()\n    time.sleep(0.1)",
    ],
)
def test_a_loop_that_does_more_than_wait_is_not_one(loop: str) -> None:
    assert unlimited_waits(loop) == []


def test_every_test_that_waits_has_a_limit() -> None:
    found = {
        str(file.relative_to(TESTS)): waits
        for file in sorted(TESTS.rglob("*.py"))
        if (waits := unlimited_waits(file.read_text("utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "name",
    [
        "test_so_is_one_with_the_origin_of_this_host",
        "test_it_is_installed",
        "test_without_credentials_it_is_401",
    ],
)
def test_a_name_that_needs_another_test_is_found(name: str) -> None:
    assert REFERS_TO_ANOTHER.findall(f"def {name}() -> None: ...") == [name]


def test_every_name_of_a_test_can_be_read_alone() -> None:
    found = [
        f"{file.relative_to(TESTS)}: {name}"
        for file in sorted(TESTS.rglob("test_*.py"))
        for name in REFERS_TO_ANOTHER.findall(file.read_text("utf-8"))
    ]
    assert found == []
