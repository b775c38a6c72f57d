"""Server processes, started as an administrator starts them."""

import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from tests.harness import child_processes
from tests.harness.child_processes import START_SECONDS
from tests.harness.configuration import ROOT, TEST_VARIABLES
from tests.harness.preloaded import start as start_preloaded

# Below the ports that the kernel assigns by default.
_PORTS = range(12_000, 32_000)


@dataclass
class ServerProcess:
    """A running ``python server.py``, and everything it wrote."""

    process: child_processes.Process
    greeting: str
    log: Path

    @property
    def url(self) -> str:
        """Return the address that it printed."""
        return child_processes.url_in(self.greeting)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 20) -> int:
        return self.process.wait(timeout)

    def stop(self) -> int:
        """End the server as systemd does; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def written(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until the server has logged a text, once or several times."""
        deadline = time.monotonic() + START_SECONDS
        while self.written().count(text) < times:
            assert time.monotonic() < deadline, self.written()
            time.sleep(0.02)

    def reload(self, message: str) -> None:
        """Send SIGHUP, and wait until the server logs the result."""
        before = self.written().count(message)
        self.signal(signal.SIGHUP)
        self.wait_for(message, before + 1)


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with the settings of a test server over it."""
    return {
        **os.environ,
        **TEST_VARIABLES,
        "PORT": "0",
        **variables,
    }


@contextmanager
def running_server(
    variables: Mapping[str, str], log: Path, *, preloaded: bool = True
) -> Iterator[ServerProcess]:
    """Run a server for the duration of the block; it accepts connections when the block starts.

    By default it is forked from a process that has imported the server.
    """
    process: child_processes.Process
    with log.open("a", encoding="utf-8") as stream:
        if preloaded:
            process = start_preloaded([], stream, environment(**variables))
        else:
            process = start(variables, stream)
    try:
        yield ServerProcess(process, child_processes.read_greeting(process, log), log)
    finally:
        child_processes.stop(process)


def start(variables: Mapping[str, str], log: IO[str]) -> "subprocess.Popen[str]":
    """Start a server as an administrator does."""
    command = [sys.executable, str(ROOT / "server.py")]
    return child_processes.start(command, log, environment(**variables))


def _ports_of_worker() -> range:
    """Return the ports that no other worker of this run uses between the check and the use."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    # The worker that replaces one that has crashed has a higher number.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % count
    size = len(_PORTS) // count
    return _PORTS[worker * size : (worker + 1) * size]


@cache
def _next_ports() -> Iterator[int]:
    """Return the iterator of this worker over its ports, which repeats them in the same order.

    So no port is returned twice before it is used.
    """
    ports = _ports_of_worker()
    start = secrets.randbelow(len(ports))
    return itertools.cycle([*ports[start:], *ports[:start]])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port on which no process listens."""
    return next(filter(_is_free, _next_ports()))


def free_ports(count: int) -> int:
    """Return a port before ``count`` others on which no process listens."""
    ports = _next_ports()
    while True:
        before = next(ports)
        others = list(itertools.islice(ports, count))
        if others == list(range(before + 1, before + 1 + count)) and all(map(_is_free, others)):
            return before


def wait_for_listener(
    process: "subprocess.Popen[bytes] | subprocess.Popen[str]", port: int
) -> None:
    """Wait until a process that was started listens."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def listening(process: "subprocess.Popen[bytes]", port: int) -> Iterator[None]:
    """Wait until a process that was started listens, and terminate it after use."""
    try:
        wait_for_listener(process, port)
        yield
    finally:
        child_processes.stop(process)


def run_to_the_end(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a server that is expected to exit by itself."""
    with TemporaryFile("w+", encoding="utf-8") as log:
        process = start_preloaded(arguments, log, environment(**variables))
        try:
            code = process.wait(30)
            assert process.stdout is not None
            output = process.stdout.read()
        finally:
            child_processes.stop(process)
        log.seek(0)
        return subprocess.CompletedProcess(arguments, code, output, log.read())
