"""The lock files: what is installed is what the requirements pin, file by file."""

import re
from pathlib import Path

import pytest

from tests.harness.configuration import ROOT

SETS = ["requirements", "requirements-dev", "requirements-bench"]
PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;]+)(?:\s*;[^#\\]*)?")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: Path) -> dict[str, str]:
    """Read what a file for people pins, with the files that it names."""
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
    """Read a lock file, of which every line is a version with hashes, or a hash."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?! )", file.read_text("utf-8").strip()):
        first, *hashes = entry.split(" \\\n")
        match = PIN.fullmatch(first.strip())
        assert match is not None, first
        assert hashes, f"{first} has no hash"
        assert all(HASH.fullmatch(line) for line in hashes), entry
        # What only another system needs is not pinned for people.
        if "sys_platform == 'win32'" not in first:
            found[canonical(match[1])] = match[2]
    return found


@pytest.mark.parametrize("name", SETS)
def test_a_lock_file_holds_each_pin_and_nothing_else_each_with_hashes(name: str) -> None:
    assert locked(ROOT / f"{name}.lock") == pins(ROOT / f"{name}.txt")


def test_every_installation_demands_hashes() -> None:
    for name, tool in (("Makefile", "$(INSTALL)"), ("deploy/install.sh", '"${install[@]}"')):
        lines = (ROOT / name).read_text("utf-8").replace("\\\n", " ").splitlines()
        commands = [
            line for line in lines if "pip install" in line or line.strip().startswith(tool)
        ]
        demanding = [line for line in commands if "--require-hashes" in line or ".lock" in line]
        others = [line for line in commands if line not in demanding]
        # Packages of the operator, which may not move those of the server; the tool that locks;
        # and the words that the commands begin with.
        assert len(demanding) >= 1
        for line in others:
            assert re.search(r"--constraint|\$\(UV\)|^ *local install=", line), line


def test_an_instruction_for_people_installs_with_hashes() -> None:
    files = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
    for file in files:
        assert "install -r requirements" not in file.read_text("utf-8"), file.name
        assert "--requirement requirements.txt" not in file.read_text("utf-8"), file.name
