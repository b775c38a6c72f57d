"""Server processes, as an operator starts them."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.harness.configuration import KEY, ROOT

START_SECONDS = 30


@dataclass
class ServerProcess:
    """A running ``python server.py``, and everything it wrote."""

    process: "subprocess.Popen[str]"
    greeting: str
    log: Path

    @property
    def url(self) -> str:
        """Return the address that it printed."""
        return self.greeting.partition("serves ")[2].partition(",")[0]

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

    def wait_for(self, text: str) -> None:
        """Wait until the server has logged something."""
        deadline = time.monotonic() + START_SECONDS
        while text not in self.written():
            assert time.monotonic() < deadline, self.written()
            time.sleep(0.02)


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with the settings of a test server over it."""
    return {
        **os.environ,
        "APP_SETTINGS": "testing",
        "PORT": "0",
        "SECRET_KEYS": KEY,
        **variables,
    }


@contextmanager
def running_server(variables: Mapping[str, str], log: Path) -> Iterator[ServerProcess]:
    """Start a server, wait until it says that it serves, and make sure that it is gone."""
    with log.open("a", encoding="utf-8") as stream:
        process = start(variables, stream)
        try:
            yield ServerProcess(process, _greeting(process, log), log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
            if process.stdout is not None:
                process.stdout.close()


def start(variables: Mapping[str, str], log: IO[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / "server.py")],
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )


def manage(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the administrator to its end."""
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_listener(process: "subprocess.Popen[bytes]", port: int) -> None:
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


def _greeting(process: "subprocess.Popen[str]", log: Path) -> str:
    if process.stdout is None:
        raise RuntimeError("The server's output is not piped.")
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if readable else ""
    if "serves" not in line:
        raise RuntimeError(f"The server did not start: {line}{log.read_text(encoding='utf-8')}")
    return line.strip()
