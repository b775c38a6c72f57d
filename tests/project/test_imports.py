"""Which directory may import which library: each library has one home."""

import ast
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.harness.configuration import ROOT, SOURCE_PATHS

# A directory means all of its modules.
HOMES: Mapping[str, tuple[str, ...]] = {
    "aiopg": ("db",),
    "aiosmtplib": ("mail",),
    "argon2": ("rules/imported_verifiers.py",),
    "bcrypt": ("rules/password_scheme.py",),
    "click": ("commands", "manage.py"),
    "email_validator": ("rules/emails.py",),
    "httptools": ("transport",),
    "idna": ("rules/emails.py",),
    "itsdangerous": ("rules/tokens.py",),
    "opentelemetry": ("ops/traces.py",),
    "passlib": ("rules/imported_verifiers.py",),
    "prometheus_client": ("ops/metric_families.py", "ops/metrics.py"),
    "psutil": ("postgres/postmaster.py",),
    "psycopg2": ("db", "postgres"),
    "pydantic": ("contract", "handlers", "settings"),
    "pydantic_core": ("commands/transfer.py", "contract", "handlers", "settings", "wiring"),
    "tornado": ("handlers", "mail/texts.py", "pages", "transport"),
    "typing_extensions": ("contract",),
    "uvloop": ("ops/event_loop.py",),
    "werkzeug": ("rules/imported_verifiers.py",),
}
# It exists for type checkers alone.
_TYPES_ALONE = {"_typeshed"}
_OWN = {name.removesuffix(".py") for name in SOURCE_PATHS}


@cache
def _imports(module: Path) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import"
            found.add((node.module or "").partition(".")[0])
    return frozenset(found)


def _library_imports(root: Path) -> set[tuple[str, str]]:
    found = set()
    for name in SOURCE_PATHS:
        path = root / name
        for module in [path] if path.is_file() else sorted(path.rglob("*.py")):
            libraries = _imports(module) - sys.stdlib_module_names - _OWN - _TYPES_ALONE
            found |= {(library, module.relative_to(root).as_posix()) for library in libraries}
    return found


def _strays(root: Path) -> list[tuple[str, str]]:
    def is_at_home(library: str, module: str) -> bool:
        homes = HOMES.get(library, ())
        return any(module == home or module.startswith(f"{home}/") for home in homes)

    return sorted(pair for pair in _library_imports(root) if not is_at_home(*pair))


def test_a_library_is_imported_only_in_its_home() -> None:
    assert _strays(ROOT) == []


def test_each_home_imports_its_library() -> None:
    found = _library_imports(ROOT)
    for library, homes in HOMES.items():
        for home in homes:
            users = {module for name, module in found if name == library}
            assert any(module == home or module.startswith(f"{home}/") for module in users)


def _imports_of_test_modules(text: str) -> list[str]:
    """Return the relative imports of a text and those from ``tests``, without ``tests.harness``."""
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names += [f"{module}.{alias.name}" for alias in node.names]
    return [name for name in names if re.match(r"\.|tests(?!\.harness(\.|$))(\.|$)", name)]


def test_no_test_module_imports_from_another_test_module() -> None:
    for module in (ROOT / "tests").rglob("*.py"):
        assert _imports_of_test_modules(module.read_text(encoding="utf-8")) == [], module


def test_each_way_to_import_a_test_module_is_found() -> None:
    own = "import tests.harness.clock\nfrom tests import harness\nimport tests.harness\n"
    assert _imports_of_test_modules(own + "import testsuite\n") == []
    others = (
        *("import tests", "import json, tests.db.test_pool", "from tests import db"),
        *("from tests.db import test_pool", "from tests.db.test_pool import POOL"),
        *("from tests.harness_of_others import clock", "def late(): import tests.conftest"),
        *("from .test_pool import POOL", "from . import test_pool", "from ..db import test_pool"),
    )
    for line in others:
        assert len(_imports_of_test_modules(line)) == 1, line


def test_a_library_outside_its_home_is_found(tmp_path: Path) -> None:
    module = tmp_path / "services" / "throttle.py"
    module.parent.mkdir()
    module.write_text("import bcrypt\n\ndef late() -> None:\n    from unknown.part import thing\n")
    assert _strays(tmp_path) == [
        ("bcrypt", "services/throttle.py"),
        ("unknown", "services/throttle.py"),
    ]


def test_the_server_and_the_command_line_do_not_import_each_other() -> None:
    for name in SOURCE_PATHS:
        path = ROOT / name
        for module in [path] if path.is_file() else path.rglob("*.py"):
            imported = _imports(module)
            assert "manage" not in imported, module
            assert "server" not in imported, module
