"""The server under systemd: notifications, the watchdog, and sockets that it inherits."""

import asyncio
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.harness.api import PASSWORD
from tests.harness.configuration import KEY, ROOT
from tests.harness.memory_directory import new_socket_directory
from tests.harness.processes import environment, free_port, running_server, wait_for_listener
from tests.harness.programs import get_program
from tests.harness.waiting import until

# What this process gets by systemd-socket-activate goes to one server after the other.
RESTARTING = 'while :; do (LISTEN_PID=$BASHPID exec "$0" "$1"); done'
RESTARTS = 2


class NotifySocket:
    """The receiving end of systemd's notification socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(20)
        self._socket.bind(address)

    def receive(self) -> dict[str, str]:
        """Return the assignments of the next message."""
        lines = self._socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def receive_except_watchdog(self) -> dict[str, str]:
        while (message := self.receive()) == {"WATCHDOG": "1"}:
            pass
        return message

    def is_silent_for(self, *, seconds: float) -> bool:
        return not select.select([self._socket], [], [], seconds)[0]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def notified(
    request: pytest.FixtureRequest,
) -> Iterator[tuple[NotifySocket, dict[str, str]]]:
    """Yield a notification socket and the variable that names it."""
    with new_socket_directory() as folder:
        is_abstract = request.param == "abstract"
        name = f"@userauth-test-{os.getpid()}" if is_abstract else f"{folder}/notify"
        listener = NotifySocket(re.sub("^@", "\0", name))
        yield listener, {"NOTIFY_SOCKET": name}
        listener.close()


def test_systemd_is_notified_of_each_step(
    dsn: str, tmp_path: Path, notified: tuple[NotifySocket, dict[str, str]]
) -> None:
    systemd, variables = notified
    variables |= {"DATABASE_URL": dsn, "USERAUTH_SERVER__DRAIN_SECONDS": "600"}
    with running_server(variables, tmp_path / "log") as server:
        assert systemd.receive() == {"READY": "1", "STATUS": server.greeting}
        server.signal(signal.SIGHUP)
        reloading = systemd.receive()
        assert (reloading["RELOADING"], set(reloading)) == ("1", {"RELOADING", "MONOTONIC_USEC"})
        assert reloading["MONOTONIC_USEC"].isdecimal()
        assert systemd.receive() == {"READY": "1", "STATUS": server.greeting}
        server.signal(signal.SIGTERM)
        stopping = systemd.receive()
        assert stopping["STOPPING"] == "1"
        assert re.fullmatch(r"userauth is stopping: \d+ requests? running", stopping["STATUS"])
        # Drain, two last writes and the last lines, the embedded Postgres and the wait for it,
        # and what else there is.
        assert stopping["EXTEND_TIMEOUT_USEC"] == str(
            round((0.1 + 600 + 2 + 2 + 2 + 150 + 60 + 10) * 1_000_000)
        )
        assert server.wait() == 0


def test_the_watchdog_is_notified_unless_the_loop_is_blocked(
    dsn: str, tmp_path: Path, notified: tuple[NotifySocket, dict[str, str]]
) -> None:
    systemd, variables = notified
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n", "utf-8")
    keys.chmod(0o600)
    variables |= {
        "DATABASE_URL": dsn,
        "USERAUTH_SERVER__DRAIN_DELAY_SECONDS": "0.5",
        "SECRET_KEYS": "",
        "USERAUTH_TOKENS__KEYS_FILE": str(keys),
        "WATCHDOG_USEC": "300000",
    }
    with running_server(variables, tmp_path / "log") as server:
        assert "READY" in systemd.receive()
        for _ in range(5):
            assert systemd.receive() == {"WATCHDOG": "1"}
        # Reading this FIFO blocks the loop until the test writes to it.
        keys.unlink()
        os.mkfifo(keys, 0o600)
        server.signal(signal.SIGHUP)
        assert "RELOADING" in systemd.receive_except_watchdog()
        assert systemd.is_silent_for(seconds=1.0)
        keys.write_text(f"{KEY}\n", "utf-8")
        assert "READY" in systemd.receive()
        assert systemd.receive() == {"WATCHDOG": "1"}
        server.stop()
        assert "STOPPING" in systemd.receive_except_watchdog()
        # A notification now would restart the watchdog with no one to stop it.
        assert systemd.is_silent_for(seconds=0.1)


def test_a_watchdog_of_another_process_is_not_notified(
    dsn: str, tmp_path: Path, notified: tuple[NotifySocket, dict[str, str]]
) -> None:
    systemd, variables = notified
    variables |= {"DATABASE_URL": dsn, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with running_server(variables, tmp_path / "log") as server:
        assert "READY" in systemd.receive()
        server.stop()
        assert "STOPPING" in systemd.receive()


def test_a_missing_notify_socket_is_ignored(dsn: str, tmp_path: Path) -> None:
    variables = {"DATABASE_URL": dsn, "NOTIFY_SOCKET": str(tmp_path / "missing")}
    with running_server(variables, tmp_path / "log") as server:
        assert httpx.get(f"{server.url}/health/ready", timeout=30).status_code == 200
        assert server.stop() == 0


# What the server does with the sockets at its start, without the rest of the start.
TAKE_SOCKETS = """
import os, sys
from ops.systemd import Systemd, SystemdError
try:
    Systemd(os.environ)
except SystemdError as error:
    sys.exit(str(error))
"""


def run_with_descriptor(command: list[str], redirection: str, given: int, **variables: str) -> str:
    """Run a command whose file descriptor 3 is not a listening socket; return its only line."""
    ended = subprocess.run(
        ["/bin/bash", "-c", f'LISTEN_PID=$$ exec "$0" "$@" {redirection}', *command],
        env=environment(**variables),
        cwd=ROOT,
        stdin=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("closed", "LISTEN_FDS: 3 is not a socket"),
        ("file", "LISTEN_FDS: 3 is not a socket"),
        ("datagram", "LISTEN_FDS: 3 is not a listening stream socket"),
        ("unix", "LISTEN_FDS: 3 is not a TCP socket"),
        ("text", "LISTEN_FDS is not a number"),
        ("digits", "LISTEN_FDS is not a number"),
    ],
)
def test_an_invalid_listening_socket_is_rejected(kind: str, message: str) -> None:
    redirection = {"closed": "3<&-", "file": "3</dev/null"}.get(kind, "3<&0")
    number = {"text": "three", "digits": "9" * 5000}.get(kind, "1")
    with (
        socket.socket(socket.AF_UNIX)
        if kind == "unix"
        else socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ) as given:
        if kind == "unix":
            given.bind(f"\0userauth-test-unix-{os.getpid()}")
            given.listen()
        taking = [sys.executable, "-c", TAKE_SOCKETS]
        line = run_with_descriptor(taking, redirection, given.fileno(), LISTEN_FDS=number)
    assert message in line


def test_an_invalid_listening_socket_stops_the_start(dsn: str) -> None:
    line = run_with_descriptor(
        command(), "3<&-", subprocess.DEVNULL, DATABASE_URL=dsn, LISTEN_FDS="1"
    )
    assert "LISTEN_FDS: 3 is not a socket" in line


def command() -> list[str]:
    return [sys.executable, str(ROOT / "server.py")]


def children_of(process: "subprocess.Popen[bytes]") -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("utf-8")
    return [int(number) for number in listed.split()]


@pytest.mark.needs("systemd-socket-activate")
@pytest.mark.parametrize("kept_alive", [True, False])
def test_a_restart_under_load_fails_no_request(dsn: str, *, kept_alive: bool) -> None:
    port = free_port()
    # An idle connection is closed after this time: no client of a slow machine may be so slow.
    variables = environment(
        DATABASE_URL=dsn,
        USERAUTH_SERVER__DRAIN_DELAY_SECONDS="1",
        # The logins of fast clients must not revoke the token of a slow one.
        USERAUTH_TOKENS__MAX_PER_USER="10000",
    )
    process = subprocess.Popen(
        [
            *(get_program("systemd-socket-activate"), "-l", f"127.0.0.1:{port}"),
            *(f"--setenv={name}={value}" for name, value in variables.items()),
            *("/bin/bash", "-c", RESTARTING, *command()),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_listener(process, port)
        ended = asyncio.run(_restarts_under_load(process, port, kept_alive=kept_alive))
    finally:
        with suppress(ProcessLookupError):  # it has failed to start
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    statuses, restarts = ended
    assert restarts == RESTARTS
    assert set(statuses) == {200}
    assert len(statuses) > 100


async def _restart(process: "subprocess.Popen[bytes]", statuses: list[int]) -> None:
    """End the server, and wait until the next one has responded."""
    (server,) = children_of(process)
    os.kill(server, signal.SIGTERM)
    await until(lambda: children_of(process) not in ([], [server]))
    seen = len(statuses)
    await until(lambda: len(statuses) >= seen + 100)


async def _restarts_under_load(
    process: "subprocess.Popen[bytes]", port: int, *, kept_alive: bool
) -> tuple[list[int], int]:
    """Send requests while servers restart; return the responses and the number of restarts."""
    statuses: list[int] = []
    is_over = asyncio.Event()
    limits = httpx.Limits() if kept_alive else httpx.Limits(max_keepalive_connections=0)
    account = ("susan@example.com", PASSWORD)

    async def ask(client: httpx.AsyncClient) -> None:
        while not is_over.is_set():
            login = await client.get("/api/user/login", auth=account)
            statuses.append(login.status_code)
            for path in ("/api/user", "/health/live", "/api/user"):
                answer = await client.get(path, auth=(login.json()["token"], ""))
                statuses.append(answer.status_code)

    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30
    ) as client:
        registration = {"email": account[0], "password": account[1]}
        await client.post("/api/user/register", json=registration)  # which starts the first
        asking = [asyncio.ensure_future(ask(client)) for _ in range(20)]
        restarts = 0
        for _ in range(RESTARTS):
            await _restart(process, statuses)
            restarts += 1
        is_over.set()
        await asyncio.gather(*asking)
    return statuses, restarts
