"""The administrator's command line: in this process, or as a process if that matters."""

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from manage import main
from tests.harness.configuration import ROOT
from tests.harness.processes import environment


@dataclass(frozen=True)
class Completed:
    """The result of a command."""

    returncode: int
    stdout: str
    stderr: str


def manage(*arguments: str, stdin: str = "", **variables: str) -> Completed:
    """Run a command in this process, which is faster than starting one."""
    # A thread of its own, since the caller may run an event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_run, arguments, stdin, environment(**variables)).result()


def _run(arguments: tuple[str, ...], stdin: str, environ: dict[str, str]) -> Completed:
    encoding = environ.get("PYTHONIOENCODING", "utf-8")
    out, err = _Output(encoding, "strict"), _Output(encoding, "backslashreplace")
    with (
        # libpq and the programs of Postgres read the environment of the process.
        patch.dict(os.environ, environ, clear=True),
        patch("sys.stdin", io.StringIO(stdin)),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        returncode = main(arguments, os.environ)
    return Completed(returncode, out.text(), err.text())


class _Output(io.TextIOWrapper):
    """Keeps what is written, and encodes it as the streams of a process do."""

    def __init__(self, encoding: str, errors: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors=errors)

    def text(self) -> str:
        self.flush()
        self.seek(0)
        return self.read()


def start_command(*arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run_command(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a process of its own to its end."""
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
