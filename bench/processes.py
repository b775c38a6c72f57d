"""Processes that are started here, and are gone at the end, whatever happens."""

import fcntl
import os
import re
import resource
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.others import processor_seconds
from bench.places import LOGS, ROOT, STORE

START_SECONDS = 60
STOP_SECONDS = 20
IDLE_PERCENT = 5.0
_ADDRESS = re.compile(r"https?://127\.0\.0\.1:(\d+)")


class BenchError(Exception):
    """The measurement cannot go on; the message tells why, and what to do."""


def allow_many_files(least: int) -> None:
    """Raise the limit of open files, for this process and those it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < least:
        raise BenchError(
            f"A process may open {hard} files here, and {least} are needed: raise the hard limit"
            f" (`ulimit -Hn {least}` as root) and start again."
        )
    wanted = hard if hard != resource.RLIM_INFINITY else least
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def only_run() -> Iterator[None]:
    """Be the only run on this folder: two would measure each other, and share their files."""
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / "run.lock").open("w", encoding="ascii") as lock:
        try:
            # Held by this process alone: it goes with it, however that ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BenchError("Another run measures at this moment: wait for its end.") from error
        yield


def end_like_interrupt() -> None:
    """Let SIGTERM and SIGHUP unwind as Ctrl-C does, so that everything started is stopped."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _unwind)


@contextmanager
def started(
    command: Sequence[str],
    *,
    log: str,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> Iterator["subprocess.Popen[str]"]:
    """Start a process that complains into a log file; end it and its children at the end."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{log}.log").open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            # A group of its own: Ctrl-C is for us, and we end the whole group.
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)


def run_bounded(command: Sequence[str], *, seconds: float, log: str, given: str = "") -> str:
    """Run a program to its end, within so many seconds; return what it printed."""
    with started(command, log=log) as process:
        return finish(process, seconds=seconds, log=log, given=given)


def finish(process: "subprocess.Popen[str]", *, seconds: float, log: str, given: str = "") -> str:
    """Wait for the end of a program; return what it printed."""
    try:
        printed, _ = process.communicate(given, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{log} did not end within {seconds:.0f} seconds.") from error
    if process.returncode:
        raise BenchError(f"{log} ended with {process.returncode}: {printed}{last_lines(log)}")
    return printed


def read_port(process: "subprocess.Popen[str]", log: str) -> int:
    """Return the port of the address that a server prints once it listens."""
    if process.stdout is None:
        raise BenchError(f"The output of {log} is not piped.")
    deadline = time.monotonic() + START_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        readable, _, _ = select.select([process.stdout], [], [], left)
        line = process.stdout.readline() if readable else ""
        if match := _ADDRESS.search(line):
            return int(match[1])
        if not line:
            break
    raise BenchError(f"{log} did not start ({START_SECONDS} s at most): {last_lines(log)}")


def last_lines(log: str) -> str:
    """Return the end of a log file."""
    path = LOGS / f"{log}.log"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return "\n".join(lines[-15:])


def settle(pid: int, seconds: float = 120) -> None:
    """Wait until a server, its children included, is done with what an earlier load left behind."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before, begun = processor_seconds(pid), time.monotonic()
        time.sleep(0.4)
        used = (processor_seconds(pid) - before) / (time.monotonic() - begun)
        if used * 100 < IDLE_PERCENT:
            return
    raise BenchError(f"A server was not idle {seconds:.0f} seconds after its last request.")


def _end(process: "subprocess.Popen[str]") -> None:
    """Ask the group to stop, then make it."""
    try:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:
        # Also where somebody does not want to wait, and for what was left behind in the group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _unwind(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
