"""The two server processes: started, stopped, killed and watched."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from soak.cluster import SoakError
from tests.harness import child_processes
from tests.harness.child_processes import ROOT, STOP_SECONDS, StartError

SIZE = 2
_MAIL_LIMITS = ("PER_MINUTE", "RECIPIENT_PER_HOUR", "USER_PER_HOUR", "NETWORK_PER_HOUR")


@dataclass(frozen=True)
class Database:
    """How a server reaches its Postgres."""

    dsn: str
    reads: str = "primary"


class ServerProcess:
    """A server that can be restarted, with the peaks of all its processes."""

    def __init__(self, number: int, database: Database, mail_url: str, directory: Path) -> None:
        self.number = number
        self.port = 0
        self.peak_memory = 0
        self.peak_descriptors = 0
        self.first_descriptors = 0
        self.log = directory / f"server-{number}.log"
        self._environment = _environment(database, mail_url)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the server and wait until it listens."""
        command = [sys.executable, str(ROOT / "server.py")]
        with self.log.open("a", encoding="utf-8") as stream:
            self._process = child_processes.start(command, stream, self._environment)
        try:
            greeting = child_processes.read_greeting(self._process, self.log)
        except StartError as error:
            raise SoakError(f"Server {self.number}: {error}") from error
        self.port = int(child_processes.url_in(greeting).rpartition(":")[2])
        self.first_descriptors = self.descriptors()

    def stop(self, number: signal.Signals) -> int:
        """Send a signal, wait for the server to exit and return its exit code."""
        process = self._process
        if process is None:
            return 0
        self.sample()
        # From here on, its exit is expected.
        self._process = None
        try:
            return child_processes.stop(process, number)
        except subprocess.TimeoutExpired:
            raise SoakError(
                f"Server {self.number} did not exit within {STOP_SECONDS} s of {number.name}."
            ) from None

    def sample(self) -> None:
        """Sample the memory and the descriptors."""
        if self._process is None or self._process.poll() is not None:
            return
        status = Path(f"/proc/{self._process.pid}/status")
        try:
            peak = re.search(r"VmHWM:\s+(\d+)", status.read_text(encoding="ascii"))
        except FileNotFoundError:
            return
        self.peak_memory = max(self.peak_memory, int(peak[1]) if peak else 0)
        self.peak_descriptors = max(self.peak_descriptors, self.descriptors())

    def exit_code(self) -> int | None:
        """Return the exit code of a server that exited on its own."""
        return None if self._process is None else self._process.poll()

    def descriptors(self) -> int:
        """Return the number of open descriptors."""
        if self._process is None:
            return 0
        try:
            return len(os.listdir(f"/proc/{self._process.pid}/fd"))  # noqa: PTH208 - only counted
        except FileNotFoundError:
            return 0

    def last_lines(self) -> str:
        """Return the last lines of the log."""
        return child_processes.last_lines(self.log, 10)

    def traces(self) -> list[str]:
        """Return the tracebacks in the log, each as one line."""
        traces: list[str] = []
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        for index, line in enumerate(lines):
            if "Traceback" in line:
                traces.append(" | ".join(lines[max(0, index - 1) : index + 40])[:3000])
        return traces


class Fleet:
    """The two servers."""

    def __init__(self, servers: list[ServerProcess]) -> None:
        self.servers = servers

    async def watch(self) -> None:
        """Sample every server periodically."""
        while True:
            for server in self.servers:
                server.sample()
            await asyncio.sleep(0.5)


@contextmanager
def running_fleet(databases: Sequence[Database], mail_url: str, directory: Path) -> Iterator[Fleet]:
    """Run a server for each database for the duration of the block."""
    fleet = Fleet(
        [
            ServerProcess(number, database, mail_url, directory)
            for number, database in enumerate(databases)
        ]
    )
    try:
        for server in fleet.servers:
            server.start()
        yield fleet
    finally:
        deadline = time.monotonic() + STOP_SECONDS
        for server in fleet.servers:
            server.stop(signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)


def _environment(database: Database, mail_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "APP_SETTINGS": "testing",
        "DATABASE_URL": database.dsn,
        "USERAUTH_DATABASE__READS": database.reads,
        "HOST": "127.0.0.1",
        "PORT": "0",
        "SECRET_KEYS": "a-signing-key-for-the-soak-00000",
        # Long enough for every client to receive a response with Connection: close.
        "USERAUTH_SERVER__DRAIN_DELAY_SECONDS": "1",
        # A few milliseconds per hash, so that the queue fills up and empties again.
        "USERAUTH_PASSWORDS__BCRYPT_COST": "6",
        "USERAUTH_PASSWORDS__MAX_WAIT_SECONDS": "5",
        # All clients have one IP address, and send many wrong passwords.
        "USERAUTH_THROTTLE__ACCOUNT_FAILURES": "1000000",
        "USERAUTH_THROTTLE__ADDRESS_FAILURES": "1000000",
        # A caller keeps reading until it knows whether a registration that it aborted took place.
        "USERAUTH_THROTTLE__MAX_CONSECUTIVE_FAILURES": "1000000",
        "USERAUTH_THROTTLE__PAIR_FAILURES": "1000000",
        "USERAUTH_MAIL__URL": mail_url,
        "USERAUTH_MAIL__FROM": "userauth <no-reply@example.com>",
        # A request whose response was lost is repeated.
        **{f"USERAUTH_MAIL__{limit}": "1000000" for limit in _MAIL_LIMITS},
    }
