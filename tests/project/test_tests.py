"""What all tests have in common: names that need no context, and waits with a time limit."""

import ast
import re
import tomllib
from collections.abc import Callable

import pytest

from tests.harness.configuration import ROOT
from tests.harness.waiting import SECONDS, WORK_SECONDS

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
    # A condition that assigns, awaits or only calls may do the work of the loop, such as reading.
    kinds = {type(each) for each in ast.walk(loop.test)}
    if kinds & {ast.Await, ast.NamedExpr}:
        return False
    [statement] = loop.body
    if isinstance(statement, ast.Pass):
        return not isinstance(loop.test, ast.Call)
    is_sleep = ast.unparse(statement).startswith(("await asyncio.sleep(", "time.sleep("))
    is_turn = ast.unparse(statement) == "await asyncio.sleep(0)"
    return is_sleep and not is_turn


def shorter_limits(source: str) -> list[str]:
    """Return the time limits that end a wait before it fails itself, and names its line."""
    nodes = list(ast.walk(ast.parse(source)))
    blocks = (
        (ast.unparse(item.context_expr), node)
        for node in nodes
        if isinstance(node, ast.AsyncWith)
        for item in node.items
    )
    marks = (
        ast.unparse(node)
        for node in nodes
        if isinstance(node, ast.Call) and any(each.arg == "timeout" for each in node.keywords)
    )
    return [
        *(
            limit
            for limit, block in blocks
            if re.match(r"asyncio\.timeout\((?!WORK_SECONDS)", limit)
            and re.search(r"\buntil\(", ast.unparse(block))
        ),
        *(mark for mark in marks if mark.startswith("pytest.mark.gen_test(")),
    ]


def compared_statuses(source: str) -> list[str]:
    """Return the comparisons of whole ``stat`` results: reading changes the access time."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(ast.unparse(each).endswith("stat()") for each in (node.left, *node.comparators))
    ]


def default_timeouts(source: str) -> list[str]:
    """Return the uses of httpx with its default timeout: a busy machine may need more than 5 s."""
    called = re.compile(
        r"httpx\.(?:Async)?(?:Client|get|head|post|put|patch|delete|request|stream)"
    )
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and called.fullmatch(ast.unparse(node.func))
        if not any(each.arg in {None, "timeout"} for each in node.keywords)
    ]


@pytest.mark.parametrize(
    "loop",
    [
        "while not done:\n    pass",
        "while not done():\n    pass",
        "while get().status == 200:\n    pass",
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
        "while (message := receive()) != last:\n    pass",
        "while not done:\n    await asyncio.sleep(0)",
        "while not await done():\n    await asyncio.sleep(0.1)",
        "while not done():\n    assert is_early()\n    time.sleep(0.1)",
    ],
)
def test_a_loop_that_does_more_than_wait_is_not_found(loop: str) -> None:
    assert unlimited_waits(loop) == []


def found_in_tests(find: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """Return what a function finds in each file of the tests in which it finds something."""
    return {
        str(file.relative_to(TESTS)): found
        for file in sorted(TESTS.rglob("*.py"))
        if (found := find(file.read_text("utf-8")))
    }


def test_loops_that_only_wait_are_in_the_harness() -> None:
    assert found_in_tests(unlimited_waits) == {}


@pytest.mark.parametrize(
    "source",
    [
        "async def test() -> None:\n    async with asyncio.timeout(20):\n        await until(done)",
        "@pytest.mark.gen_test(timeout=60)\nasync def test() -> None: ...",
    ],
)
def test_a_limit_that_may_end_a_wait_is_found(source: str) -> None:
    assert len(shorter_limits(source)) == 1


def test_no_limit_ends_a_wait_before_the_wait_fails_itself() -> None:
    assert found_in_tests(shorter_limits) == {}
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    settings = tools["pytest"]["ini_options"]
    [seconds] = re.findall(r"--async-test-timeout=(\d+)", " ".join(settings["addopts"]))
    assert SECONDS < WORK_SECONDS <= float(seconds) < settings["timeout"]


def test_every_request_has_a_timeout_for_a_busy_machine() -> None:
    assert len(default_timeouts("httpx.get(url)\nhttpx.AsyncClient(verify=False)")) == 2
    assert default_timeouts("httpx.get(url, timeout=30)") == []
    assert found_in_tests(default_timeouts) == {}


def test_no_whole_status_of_a_file_is_compared() -> None:
    assert compared_statuses("assert file.stat() == before") == ["file.stat() == before"]
    assert found_in_tests(compared_statuses) == {}


def test_a_test_of_each_file_names_the_file_by_its_path() -> None:
    # Several files have the same name: pytest would number them.
    by_name = re.compile(r"\bids=lambda (?:file|page|path): \w+\.name\b")
    assert found_in_tests(by_name.findall) == {}


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
