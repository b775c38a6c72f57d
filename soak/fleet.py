"""The two server processes: started, stopped, killed and watched."""

import asyncio
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soak.cluster import SoakError

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30
STOP_SECONDS = 20
SIZE = 2
_ADDRESS = re.compile(r"serves http://127\.0\.0\.1:(\d+)")


class ServerProcess:
    """One place for a server; whoever runs there may change."""

    def __init__(self, number: int, dsn: str, folder: Path) -> None:
        self.number = number
        self.port = 0
        self.peak_memory = 0
        self.peak_descriptors = 0
        self.first_descriptors = 0
        self.log = folder / f"server-{number}.log"
        self._dsn = dsn
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start a server and wait until it says that it serves."""
        with self.log.open("a", encoding="utf-8") as stream:
            self._process = process = subprocess.Popen(
                [sys.executable, str(ROOT / "server.py")],
                env=_environment(self._dsn),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                # A session of its own: Ctrl-C is for us, and we stop it.
                start_new_session=True,
            )
        if process.stdout is None:
            raise SoakError("The server's output is not piped.")
        readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        line = process.stdout.readline() if readable else ""
        match = _ADDRESS.search(line)
        if match is None:
            raise SoakError(f"Server {self.number} did not start: {line}{self.log_end()}")
        self.port = int(match[1])
        self.first_descriptors = self.descriptors()

    def end(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end and return the exit code."""
        process = self._process
        if process is None:
            return 0
        self.sample()
        # From here on its end is no surprise.
        self._process = None
        process.send_signal(number)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
            raise SoakError(
                f"Server {self.number} did not end within {STOP_SECONDS} s of {number.name}."
            ) from None
        finally:
            if process.stdout is not None:
                process.stdout.close()

    def sample(self) -> None:
        """Take a look at memory and descriptors."""
        if self._process is None or self._process.poll() is not None:
            return
        status = Path(f"/proc/{self._process.pid}/status")
        try:
            peak = re.search(r"VmHWM:\s+(\d+)", status.read_text(encoding="ascii"))
        except FileNotFoundError:
            return
        self.peak_memory = max(self.peak_memory, int(peak[1]) if peak else 0)
        self.peak_descriptors = max(self.peak_descriptors, self.descriptors())

    def death(self) -> int | None:
        """Return the exit code of a server that ended without being told to."""
        return None if self._process is None else self._process.poll()

    def descriptors(self) -> int:
        """Return how many descriptors are open now."""
        if self._process is None:
            return 0
        try:
            return len(os.listdir(f"/proc/{self._process.pid}/fd"))  # noqa: PTH208 - only counted
        except FileNotFoundError:
            return 0

    def log_end(self) -> str:
        """Return the last lines that it logged."""
        return "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-10:])

    def traces(self) -> list[str]:
        """Return each trace in the log, as one line."""
        found: list[str] = []
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        for index, line in enumerate(lines):
            if "Traceback" in line:
                found.append(" | ".join(lines[max(0, index - 1) : index + 40])[:3000])
        return found


class Fleet:
    """Both servers."""

    def __init__(self, servers: list[ServerProcess]) -> None:
        self.servers = servers

    async def watch(self) -> None:
        """Look at every server again and again."""
        while True:
            for server in self.servers:
                server.sample()
            await asyncio.sleep(0.5)


@contextmanager
def running_fleet(dsn: str, folder: Path) -> Iterator[Fleet]:
    """Start both servers; end them whatever happens."""
    fleet = Fleet([ServerProcess(number, dsn, folder) for number in range(SIZE)])
    try:
        for server in fleet.servers:
            server.start()
        yield fleet
    finally:
        deadline = time.monotonic() + STOP_SECONDS
        for server in fleet.servers:
            server.end(signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)


def _environment(dsn: str) -> dict[str, str]:
    return {
        **os.environ,
        "APP_SETTINGS": "testing",
        "DATABASE_URL": dsn,
        "HOST": "127.0.0.1",
        "PORT": "0",
        "SECRET_KEYS": "a-signing-key-for-the-soak-00000",
        # Long enough for every client to be told, with its next answer, to go elsewhere.
        "USERAUTH_SERVER__DRAIN_DELAY_SECONDS": "1",
        # Some milliseconds a hash: the queue fills and empties.
        "USERAUTH_PASSWORDS__BCRYPT_COST": "6",
    }
