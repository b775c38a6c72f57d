"""Linters and client generators for the OpenAPI document, from npm and PyPI, by lock file."""

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.harness.configuration import ROOT
from tests.harness.environment_variables import for_downloads
from tests.harness.programs import get_program

SOURCES = ROOT / "tests" / "generators"
# `make clean` removes it.
_CACHE = ROOT / ".generators"
_INSTALL_SECONDS = 500


@cache
def node_tools() -> Path:
    """Install the tools from npm, unless they are installed; return their ``node_modules``."""
    folder = _CACHE / f"node-{_digest('package-lock.json')}"
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCES / name, folder)
        npm = (get_program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        run(*npm, cwd=folder, seconds=_INSTALL_SECONDS, **for_downloads())
        (folder / "installed").touch()
    return folder / "node_modules"


@cache
def python_tools() -> Path:
    """Install the tools from PyPI, unless they are installed; return their programs' folder."""
    folder = _CACHE / f"python-{_digest('requirements.lock')}"
    if not (folder / "installed").exists():
        run(sys.executable, "-m", "venv", "--clear", str(folder), cwd=ROOT)
        pip = (str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
        lock = ("--require-hashes", "--requirement", str(SOURCES / "requirements.lock"))
        install = (*pip, "install", "--quiet", *lock)
        run(*install, cwd=ROOT, seconds=_INSTALL_SECONDS, **for_downloads())
        (folder / "installed").touch()
    return folder / "bin"


def run(*command: str, cwd: Path, seconds: float = 120, **variables: str) -> str:
    """Run a program that must succeed; return its standard output."""
    ended = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "REDOCLY_TELEMETRY": "off", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def _digest(name: str) -> str:
    return hashlib.sha256((SOURCES / name).read_bytes()).hexdigest()[:16]
