"""Child processes of the tests, the bench and the soak. Needs neither pytest nor settings."""

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
STOP_SECONDS = 20
_URL = re.compile(r"https?://[^\s,]+")


class Process(Protocol):
    """What the functions of this module need of a process, as ``subprocess.Popen`` has it."""

    pid: int

    @property
    def stdin(self) -> IO[Any] | None:
        """The pipe to its input, if there is one."""

    @property
    def stdout(self) -> IO[Any] | None:
        """The pipe from its output, if there is one."""

    @property
    def args(self) -> object:
        """The command."""

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when the process has exited; raises TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has exited."""


class StartError(Exception):
    """A server did not start; the message contains the end of its log."""


def start(
    command: Sequence[str],
    log: IO[str],
    environment: Mapping[str, str] | None = None,
    *,
    directory: Path = ROOT,
    stdin: int = subprocess.DEVNULL,
) -> "subprocess.Popen[str]":
    """Start a process whose standard error goes to a log, and its output to a pipe."""
    return subprocess.Popen(
        command,
        env=environment,
        cwd=directory,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        # Its own process group: Ctrl-C must reach only the parent, which stops the group.
        start_new_session=True,
    )


def read_greeting(process: Process, log: Path) -> str:
    """Return the line in which a server prints its URL; raises StartError."""
    if process.stdout is None:
        raise StartError("The output of the server is not piped.")
    deadline = time.monotonic() + START_SECONDS
    line = ""
    while (remaining := deadline - time.monotonic()) > 0:
        readable, _, _ = select.select([process.stdout], [], [], remaining)
        line = process.stdout.readline() if readable else ""
        if _URL.search(line):
            return line.strip()
        if not line:
            break
    raise StartError(f"{process.args!r} did not start: {line}{last_lines(log)}")


def url_in(greeting: str) -> str:
    """Return the URL in a greeting."""
    match = _URL.search(greeting)
    if match is None:
        raise StartError(f"The greeting contains no URL: {greeting}")
    return match[0]


def stop(process: Process, number: int = signal.SIGTERM) -> int:
    """Send a signal, wait for the process to exit and return its exit code.

    If it does not exit in time, it is killed with its process group, if it leads one, and
    TimeoutExpired is raised.
    """
    try:
        process.send_signal(number)
        return process.wait(STOP_SECONDS)
    finally:
        # Also after an interrupted wait: nothing may keep running.
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.send_signal(signal.SIGKILL)
            process.wait(STOP_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    *,
    directory: Path = ROOT,
    stdin: int = subprocess.DEVNULL,
) -> Iterator["subprocess.Popen[str]"]:
    """Run a process for the duration of the block; standard error is appended to a log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        process = start(command, stream, environment, directory=directory, stdin=stdin)
    try:
        yield process
    finally:
        with suppress(subprocess.TimeoutExpired):
            stop(process)


def last_lines(log: Path, count: int = 15) -> str:
    """Return the last lines of a log."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-count:])
