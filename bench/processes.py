"""Child processes of a run: each logs to a file, and is stopped at the end in any case."""

import fcntl
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.noise import cpu_seconds
from bench.paths import LOGS, ROOT, STORE
from tests.harness import child_processes

IDLE_PERCENT = 5.0


class BenchError(Exception):
    """The measurement cannot continue; the message gives the reason and the remedy."""


def raise_file_limit(minimum: int) -> None:
    """Raise the limit on open files for this process and its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < minimum:
        raise BenchError(
            f"A process may open {hard} files here, but the bench needs {minimum}: raise the hard"
            f" limit (`ulimit -Hn {minimum}` as root) and start again."
        )
    limit = hard if hard != resource.RLIM_INFINITY else minimum
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


@contextmanager
def exclusive_run() -> Iterator[None]:
    """Lock the bench's directory: two runs would measure each other and share files."""
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "run.lock").open("w", encoding="ascii") as lock:
        try:
            # The kernel releases the lock when this process ends, even if it is killed.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BenchError("Another run is in progress: wait until it ends.") from error
        yield


def unwind_on_signals() -> None:
    """Make SIGTERM and SIGHUP unwind the stack like Ctrl-C, which stops the children."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _unwind)


@contextmanager
def running(
    command: Sequence[str],
    *,
    log: str,
    environment: Mapping[str, str] | None = None,
    directory: Path = ROOT,
) -> Iterator["subprocess.Popen[str]"]:
    """Run a process for the duration of the block, with a new log."""
    path = _log_path(log)
    path.unlink(missing_ok=True)
    with child_processes.running(
        command, path, environment, directory=directory, stdin=subprocess.PIPE
    ) as process:
        yield process


def run_to_end(command: Sequence[str], *, timeout: float, log: str, stdin: str = "") -> str:
    """Run a program to its end; return its output."""
    with running(command, log=log) as process:
        return read_output(process, timeout=timeout, log=log, stdin=stdin)


def read_output(
    process: "subprocess.Popen[str]", *, timeout: float, log: str, stdin: str = ""
) -> str:
    """Wait until a program exits; return its output."""
    try:
        output, _ = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{log} did not exit within {timeout:.0f} seconds.") from error
    if process.returncode:
        raise BenchError(f"{log} exited with {process.returncode}: {output}{last_lines(log)}")
    return output


def read_port(process: "subprocess.Popen[str]", log: str) -> int:
    """Return the port in the URL that a server prints when it listens."""
    try:
        greeting = child_processes.read_greeting(process, _log_path(log))
    except child_processes.StartError as error:
        raise BenchError(str(error)) from error
    return int(child_processes.url_in(greeting).rpartition(":")[2])


def last_lines(log: str) -> str:
    """Return the last lines of a log."""
    return child_processes.last_lines(_log_path(log))


def wait_until_idle(*pids: int, timeout: float = 120) -> None:
    """Wait until processes and their children have finished the remaining work of earlier loads."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        before, started = cpu_seconds(*pids), time.monotonic()
        time.sleep(0.4)
        used = (cpu_seconds(*pids) - before) / (time.monotonic() - started)
        if used * 100 < IDLE_PERCENT:
            return
    raise BenchError(f"A server was not idle {timeout:.0f} seconds after its last request.")


def _log_path(log: str) -> Path:
    return LOGS / f"{log}.log"


def _unwind(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
