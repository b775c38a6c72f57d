"""The package is self-contained, and its README is correct."""

import ast
import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import userauth_client
from tests.harness.configuration import ROOT
from userauth_client import UserAuthClient

PACKAGE = ROOT / "client"
README = (PACKAGE / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
# Offline: the test environment has the build backend and httpx.
PIP_OPTIONS = [
    "--quiet",
    "--no-deps",
    "--no-index",
    "--no-build-isolation",
    "--disable-pip-version-check",
    "--root-user-action=ignore",
]
BASE_URL = "http://127.0.0.1:8000"


def run_python(*arguments: str, path: Path, **variables: str) -> str:
    """Run Python with an additional import path; return its output."""
    result = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env={**os.environ, "PYTHONPATH": str(path), **variables},
        cwd=path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_client_installs_as_a_typed_package(tmp_path: Path) -> None:
    # A build leaves directories next to the source.
    source = shutil.copytree(PACKAGE, tmp_path / "source")
    target = tmp_path / "target"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            *PIP_OPTIONS,
            "--target",
            str(target),
            str(source),
        ],
        check=True,
        timeout=100,
    )
    installed = {file.name for file in (target / "userauth_client").iterdir() if file.is_file()}
    assert installed == {
        file.name for file in (PACKAGE / "userauth_client").iterdir() if file.is_file()
    }
    assert "py.typed" in installed
    code = "import userauth_client; print(userauth_client.__file__)"
    assert run_python("-c", code, path=target).strip().startswith(str(target))


def test_the_client_imports_only_httpx_and_the_standard_library() -> None:
    imported = set()
    for file in (PACKAGE / "userauth_client").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    assert imported - sys.stdlib_module_names == {"httpx", "userauth_client"}


def test_the_server_does_not_import_the_client() -> None:
    code = "import server, manage, sys; print('userauth_client' in sys.modules)"
    assert run_python("-c", code, path=ROOT).strip() == "False"


def test_the_readme_lists_the_attributes_of_each_result() -> None:
    listed = {
        name: re.findall(r"`(\w+)`", attributes)
        for name, attributes in re.findall(r"^\| `([A-Z]\w+)` \| (`.*`) \|$", README, re.MULTILINE)
    }
    classes = [
        value
        for name, value in vars(userauth_client).items()
        if isinstance(value, type) and value.__module__.endswith(".models")
    ]
    assert listed == {
        one.__name__: [field.name for field in dataclasses.fields(one)] for one in classes
    }


def test_the_readme_examples_run(url: str, service: tuple[str, str], tmp_path: Path) -> None:
    printed = []
    for number, example in enumerate(EXAMPLES):
        assert BASE_URL in example
        file = tmp_path / f"example_{number}.py"
        file.write_text(example.replace(BASE_URL, url), encoding="utf-8")
        printed.append(
            run_python(str(file), path=PACKAGE, CLIENT_ID=service[0], CLIENT_SECRET=service[1])
        )
    first, reset, renewal, check, failures = (text.splitlines() for text in printed)
    assert first[0] == "Clara"
    assert re.fullmatch(r"My laptop .*\+00:00 True", first[1])
    assert reset == ["This server sends no messages"]
    assert renewal == ["50"]
    assert check == ["401"]
    assert failures[0].startswith("email ")
    assert failures[-1].startswith("/docs/problems.md#credentials-invalid Check ")


def test_the_readme_lists_every_method_and_every_exception() -> None:
    public = {name for name in vars(UserAuthClient) if not name.startswith("_")} - {"close"}
    public |= {"with_token", "with_password", "with_service"}
    assert {name for name in public if f"`{name}(" not in README} == set()
    raised = {
        name
        for name in userauth_client.__all__
        if isinstance(value := getattr(userauth_client, name), type)
        and issubclass(value, Exception)
    }
    assert {name for name in raised if f"`{name}`" not in README} == set()
