"""The limits of the code style: sizes, suppressed warnings, private names of libraries."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.harness.configuration import ROOT, SOURCE_PATHS

MAX_FILE_LINES = 250
MAX_FUNCTION_LINES = 30
MAX_PARAMETERS = 8
MAX_SUPPRESSIONS = 25
PRODUCT = (*SOURCE_PATHS, "client/userauth_client")
MEASURED = (*PRODUCT, "deploy", "bench", "soak")

# Each exception needs a reason; an entry that is no longer needed must be removed.
LONG_FILES: Mapping[str, str] = {
    "rules/errors.py": "one table of every rejection, as a tree of classes without code",
}
LONG_FUNCTIONS: Mapping[str, str] = {}
MANY_PARAMETERS: Mapping[str, str] = {}
# Documented: the underscore only avoids conflicts with the names of fields.
NAMED_TUPLE_METHODS = {"_asdict", "_fields", "_make", "_replace"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules(root: Path, paths: tuple[str, ...]) -> Mapping[str, ast.Module]:
    """Return the syntax tree of each module in the paths."""
    found = {}
    for name in paths:
        path = root / name
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            found[file.relative_to(root).as_posix()] = ast.parse(file.read_text(encoding="utf-8"))
    return found


def long_files(root: Path) -> set[str]:
    return {
        module
        for module in modules(root, MEASURED)
        if len((root / module).read_text(encoding="utf-8").splitlines()) > MAX_FILE_LINES
    }


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Yield the functions and methods of a module, with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function | ast.ClassDef):
            name = f"{prefix}{node.name}"
            if isinstance(node, Function):
                yield name, node
            yield from functions(node, f"{name}.")
        elif isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield from functions(node, prefix)


def long_functions(root: Path) -> set[str]:
    return {
        f"{module}::{name}"
        for module, tree in modules(root, MEASURED).items()
        for name, function in functions(tree)
        if (function.end_lineno or 0) - function.lineno + 1 > MAX_FUNCTION_LINES
    }


def field_count(node: ast.ClassDef) -> int:
    """Return how many parameters the constructor of a dataclass has; 0 for a plain record.

    A record is a dataclass without methods of its own but properties: it holds the columns of a
    row or the members of a document, however many they are.
    """
    if "dataclass" not in {name for each in node.decorator_list for name in names_in(each)}:
        return 0
    methods = [each for each in node.body if isinstance(each, Function)]
    if all("property" in {*map(ast.unparse, each.decorator_list)} for each in methods):
        return 0
    return sum(isinstance(each, ast.AnnAssign) for each in node.body)


def names_in(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def parameter_count(function: Function) -> int:
    arguments = function.args
    return len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - 1


def constructors_with_many_parameters(root: Path) -> set[str]:
    found = set()
    for module, tree in modules(root, PRODUCT).items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                counts = [parameter_count(f) for name, f in functions(node) if name == "__init__"]
                if max([*counts, field_count(node)], default=0) > MAX_PARAMETERS:
                    found.add(f"{module}::{node.name}")
    return found


def is_private(name: str) -> bool:
    return re.match(r"_[a-zA-Z]", name) is not None and name not in NAMED_TUPLE_METHODS


def defined_names(tree: ast.Module) -> set[str]:
    """Return the names that a module defines or assigns, attributes included."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return names


def foreign_private_names(root: Path) -> set[str]:
    """Return the private names that a module uses but neither it nor what it imports defines."""
    product = modules(root, PRODUCT)
    paths = {re.sub(r"(^client/|/__init__$)", "", module[:-3]): module for module in product}
    imports = {module: imported_modules(tree, paths) for module, tree in product.items()}
    defined = {module: defined_names(tree) for module, tree in product.items()}
    found = set()
    for module, tree in product.items():
        own, seen, waiting = set[str](), set[str](), [module]
        while waiting:
            if (current := waiting.pop()) not in seen:
                seen.add(current)
                own |= defined[current]
                waiting += imports[current]
        found |= {f"{module}: {name}" for name in used_names(tree) - own if is_private(name)}
    return found


def used_names(tree: ast.Module) -> set[str]:
    """Return the attributes and imported names that a module uses."""
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            used.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            used |= {alias.name for alias in node.names}
    return used


def imported_modules(tree: ast.Module, paths: Mapping[str, str]) -> list[str]:
    """Return the product's modules from which a module imports names."""
    sources = [
        (node.module or "").replace(".", "/")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    ]
    return [paths[source] for source in sources if source in paths]


def returning_tests(root: Path) -> set[str]:
    """Return the tests with a `return`, which would skip assertions unnoticed."""
    return {
        f"{module}::{name}"
        for module, tree in modules(root, ("tests",)).items()
        for name, function in functions(tree)
        if name.startswith("test_") and "." not in name and has_return(function)
    }


def has_return(node: ast.AST) -> bool:
    """Return whether a function ends before its last statement; functions in it do not count."""
    return any(
        isinstance(child, ast.Return) or has_return(child)
        for child in ast.iter_child_nodes(node)
        if not isinstance(child, Function | ast.ClassDef)
    )


def suppressions(root: Path) -> list[str]:
    """Return the `noqa` and `type: ignore` comments of the product."""
    return [
        f"{module}: {comment}"
        for module in modules(root, PRODUCT)
        for comment in re.findall(
            r"# (?:noqa|type: ignore).*", (root / module).read_text(encoding="utf-8")
        )
    ]


def test_no_file_is_longer_than_the_limit_but_those_with_a_reason() -> None:
    assert long_files(ROOT) == {*LONG_FILES}


def test_no_function_is_longer_than_the_limit_but_those_with_a_reason() -> None:
    assert long_functions(ROOT) == {*LONG_FUNCTIONS}


def test_no_constructor_has_more_parameters_than_the_limit_but_those_with_a_reason() -> None:
    assert constructors_with_many_parameters(ROOT) == {*MANY_PARAMETERS}


def test_few_warnings_are_suppressed() -> None:
    found = suppressions(ROOT)
    assert len(found) <= MAX_SUPPRESSIONS, found


def test_no_private_name_of_a_library_is_used() -> None:
    assert foreign_private_names(ROOT) == set()


def test_no_test_returns_before_its_last_assertion() -> None:
    assert returning_tests(ROOT) == set()


def test_a_test_that_returns_is_found(tmp_path: Path) -> None:
    module = tmp_path / "tests" / "module.py"
    module.parent.mkdir()
    module.write_text(
        "def test_early(case):\n    if case:\n        return\n    assert case\n"
        "def test_whole(case):\n    def nested():\n        return case\n    assert nested()\n"
        "def helper(case):\n    return case\n",
        encoding="utf-8",
    )
    assert returning_tests(tmp_path) == {"tests/module.py::test_early"}


def test_code_beyond_the_limits_is_found(tmp_path: Path) -> None:
    module = tmp_path / "rules" / "module.py"
    module.parent.mkdir()
    parameters = ", ".join(f"p{number}" for number in range(MAX_PARAMETERS + 1))
    fields = "".join(f"    f{number}: int\n" for number in range(MAX_PARAMETERS + 1))
    module.write_text(
        "from tornado.web import _hidden\n"
        f"class Plain:\n    def __init__(self, {parameters}): ...\n"
        f"@dataclass(frozen=True)\nclass Service:\n{fields}    def work(self): ...\n"
        f"@dataclass\nclass Record:\n{fields}"
        "def long(handler):\n    handler._secret  # noqa: SLF001\n" + "    pass\n" * 240,
        encoding="utf-8",
    )
    assert long_files(tmp_path) == {"rules/module.py"}
    assert long_functions(tmp_path) == {"rules/module.py::long"}
    assert constructors_with_many_parameters(tmp_path) == {
        "rules/module.py::Plain",
        "rules/module.py::Service",
    }
    assert foreign_private_names(tmp_path) == {
        "rules/module.py: _hidden",
        "rules/module.py: _secret",
    }
    assert suppressions(tmp_path) == ["rules/module.py: # noqa: SLF001"]
