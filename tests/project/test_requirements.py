"""The lock files: they contain exactly what the requirements pin, with hashes."""

import re
from pathlib import Path

import pytest

from tests.harness.configuration import ROOT

SETS = [
    "requirements",
    "requirements-dev",
    "requirements-bench",
    "tests/generators/requirements",
    "deploy/cluster/requirements",
]
PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;]+)(?:\s*;[^#\\]*)?")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: Path) -> dict[str, str]:
    """Return the pins of a requirements file and of the files that it includes."""
    found: dict[str, str] = {}
    for line in file.read_text("utf-8").splitlines():
        if line.startswith("-r "):
            found |= pins(file.with_name(line.removeprefix("-r ")))
        elif line and not line.startswith("#"):
            match = PIN.fullmatch(line.partition("#")[0].strip())
            assert match is not None, line
            found[canonical(match[1])] = match[2]
    return found


def locked(file: Path) -> dict[str, str]:
    """Return the versions in a lock file, each of which must have hashes."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?! )", file.read_text("utf-8").strip()):
        first, *hashes = entry.split(" \\\n")
        match = PIN.fullmatch(first.strip())
        assert match is not None, first
        assert hashes, f"{first} has no hash"
        assert all(HASH.fullmatch(line) for line in hashes), entry
        # Packages for another system are not pinned in the requirements.
        if "sys_platform == 'win32'" not in first:
            found[canonical(match[1])] = match[2]
    return found


@pytest.mark.parametrize("name", SETS)
def test_a_lock_file_contains_exactly_the_pins_with_hashes(name: str) -> None:
    assert locked(ROOT / f"{name}.lock") == pins(ROOT / f"{name}.txt")


def test_every_installation_requires_hashes() -> None:
    for name, tool in (("Makefile", "$(INSTALL)"), ("deploy/install.sh", '"${install[@]}"')):
        lines = (ROOT / name).read_text("utf-8").replace("\\\n", " ").splitlines()
        commands = [
            line for line in lines if "pip install" in line or line.strip().startswith(tool)
        ]
        with_hashes = [line for line in commands if "--require-hashes" in line or ".lock" in line]
        others = [line for line in commands if line not in with_hashes]
        # The exceptions: packages of the administrator, which must not change those of the server;
        # the tool that writes the lock files; and the variable that holds the command.
        assert len(with_hashes) >= 1
        for line in others:
            assert re.search(r"--constraint|\$\(UV\)|^ *local install=", line), line


def test_no_documented_command_installs_without_hashes() -> None:
    files = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
    for file in files:
        assert "install -r requirements" not in file.read_text("utf-8"), file.name
        assert "--requirement requirements.txt" not in file.read_text("utf-8"), file.name
