"""The OpenAPI document in linters, and in generators whose clients call a server."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.generators import SOURCES, node_tools, python_tools, run
from tests.harness.openapi import document
from tests.harness.processes import running_server
from tests.harness.programs import get_program

pytestmark = [
    pytest.mark.long,
    # The first use of a lock file installs its packages.
    pytest.mark.timeout(900),
]
CALLS = [
    "POST /api/user/register 201",
    "POST /api/user/register 409",
    "POST /api/user/login 200",
    "GET /api/user 200",
    "PATCH /api/user 200",
    "DELETE /api/user 200",
    "GET /api/user 401",
]


@pytest.fixture
def api_file(tmp_path: Path) -> Path:
    """Write the document to a file."""
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document()), encoding="utf-8")
    return file


def node_tool(name: str) -> str:
    return str(node_tools() / ".bin" / name)


@pytest.mark.needs("node", "npm")
def test_redocly_finds_no_problem_in_the_document(api_file: Path) -> None:
    config = f"--config={SOURCES / 'redocly.yaml'}"
    report = run(
        node_tool("redocly"), "lint", config, "--format=json", str(api_file), cwd=api_file.parent
    )
    assert json.loads(report)["problems"] == []


@pytest.mark.needs("node", "npm")
def test_spectral_finds_no_problem_in_the_document(api_file: Path) -> None:
    rules = f"--ruleset={SOURCES / 'spectral.yaml'}"
    run(
        *(node_tool("spectral"), "lint", rules, "--fail-severity=hint", str(api_file)),
        cwd=api_file.parent,
    )


def typescript_folder(api_file: Path) -> Path:
    """Prepare a directory for TypeScript; return it."""
    folder = api_file.parent
    (folder / "node_modules").symlink_to(node_tools())
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    shutil.copy(SOURCES / "tsconfig.json", folder)
    return folder


def openapi_typescript(api_file: Path) -> list[str]:
    """Generate the types that openapi-fetch uses; return the command that runs the calls."""
    folder = typescript_folder(api_file)
    run(node_tool("openapi-typescript"), str(api_file), "--output=schema.d.ts", cwd=folder)
    return compiled(folder, "openapi_fetch")


def hey_api(api_file: Path) -> list[str]:
    folder = typescript_folder(api_file)
    shutil.copy(SOURCES / "openapi-ts.config.js", folder)
    run(node_tool("openapi-ts"), cwd=folder)
    return compiled(folder, "hey_api")


def compiled(folder: Path, name: str) -> list[str]:
    """Compile the calls, with their types; return the command that runs them."""
    for file in (f"{name}.ts", "scenario.ts"):
        shutil.copy(SOURCES / file, folder)
    run(node_tool("tsc"), cwd=folder)
    return [get_program("node"), f"{name}.js"]


def openapi_python_client(api_file: Path) -> list[str]:
    programs = python_tools()
    report = run(
        *(str(programs / "openapi-python-client"), "generate", f"--path={api_file}"),
        *("--meta=none", f"--output-path={api_file.with_name('generated')}"),
        cwd=api_file.parent,
        PATH=str(programs),
    )
    assert "Warning" not in report
    return [str(programs / "python"), str(SOURCES / "openapi_python_client.py")]


def openapi_generator(api_file: Path) -> list[str]:
    programs = python_tools()
    run(
        *(str(programs / "openapi-generator-cli"), "generate", "--generator-name=python"),
        *(f"--input-spec={api_file}", "--package-name=generated", f"--output={api_file.parent}"),
        cwd=api_file.parent,
    )
    return [str(programs / "python"), str(SOURCES / "openapi_generator.py")]


@pytest.mark.parametrize(
    "generate",
    [
        pytest.param(openapi_typescript, marks=pytest.mark.needs("node", "npm")),
        pytest.param(hey_api, marks=pytest.mark.needs("node", "npm")),
        openapi_python_client,
        openapi_generator,
    ],
)
def test_a_generated_client_registers_logs_in_reads_changes_and_deletes(
    generate: Callable[[Path], list[str]], api_file: Path, dsn: str
) -> None:
    command = generate(api_file)
    folder = api_file.parent
    with running_server({"DATABASE_URL": dsn}, folder / "log") as server:
        run(*command, cwd=folder, USERAUTH_URL=server.url, PYTHONPATH=str(folder))
        log = server.written()
    assert re.findall(r" INFO ([A-Z]+ /api/\S+ \d{3}) ", log) == CALLS
