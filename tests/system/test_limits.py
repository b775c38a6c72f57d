"""Limits of a running server: timeouts and numbers of connections."""

import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.harness import child_processes
from tests.harness.configuration import ROOT
from tests.harness.processes import ServerProcess, environment, running_server
from tests.harness.raw_http import JSON, raw_request

HEAD_SECONDS = 0.5
BODY_SECONDS = 0.3
SLACK_SECONDS = 20.0  # of a slow machine
MAX_CONNECTIONS = 4
LIVE = raw_request("GET", "/health/live")
HALF_HEAD = LIVE[:-2]
HALF_BODY = raw_request(
    "POST", "/api/user/register", JSON, "Content-Length: 9999", body=b'{"email":'
)
HALF_CHUNK = raw_request(
    "POST", "/api/user/register", JSON, "Transfer-Encoding: chunked", body=b"99\r\n{"
)


@pytest.fixture(scope="module")
def impatient(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run a server with short timeouts."""
    variables = {
        "DATABASE_URL": postgres,
        "USERAUTH_LIMITS__IDLE_TIMEOUT_SECONDS": str(HEAD_SECONDS),
        "USERAUTH_LIMITS__BODY_TIMEOUT_SECONDS": str(BODY_SECONDS),
    }
    with running_server(variables, tmp_path_factory.mktemp("impatient") / "log") as server:
        yield server
        assert "Traceback" not in server.written()


@pytest.fixture
def small(postgres: str, tmp_path: Path) -> Iterator[ServerProcess]:
    """Run a server with few connections."""
    variables = {"DATABASE_URL": postgres, "USERAUTH_LIMITS__MAX_CONNECTIONS": str(MAX_CONNECTIONS)}
    with running_server(variables, tmp_path / "log") as server:
        yield server
        assert "Traceback" not in server.written()


@contextmanager
def connected(server: ServerProcess) -> Iterator[socket.socket]:
    address = urlsplit(server.url)
    with socket.create_connection(
        (address.hostname, address.port or 0), SLACK_SECONDS
    ) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def is_served(connection: socket.socket) -> bool:
    """Return whether a request on this connection gets a response; else it must be closed."""
    received = b""
    with suppress(ConnectionError):
        connection.sendall(LIVE)
        while not received.endswith(b"}\n"):
            data = connection.recv(65536)
            if not data:
                break
            received += data
    assert received == b"" or received.startswith(b"HTTP/1.1 200 ")
    return bool(received)


def connect_when_possible(server: ServerProcess, stack: ExitStack) -> socket.socket:
    """Return a connection that is served; try until the server accepts one.

    A connection can also miss the time limit of its first request, if this process is suspended.
    """
    ends = time.monotonic() + SLACK_SECONDS
    while time.monotonic() < ends:
        with ExitStack() as attempt:
            connection = attempt.enter_context(connected(server))
            if is_served(connection):
                stack.push(attempt.pop_all())
                return connection
    raise AssertionError("The server accepts no connection.")


def wait_until_closed(connection: socket.socket) -> None:
    with suppress(ConnectionError):
        while connection.recv(65536):
            pass


@pytest.mark.parametrize(
    ("sent", "timeout"),
    [
        (b"", HEAD_SECONDS),
        (b"G", HEAD_SECONDS),
        (HALF_HEAD, HEAD_SECONDS),
        (HALF_BODY, BODY_SECONDS),
        (HALF_CHUNK, BODY_SECONDS),
    ],
)
def test_an_incomplete_request_is_disconnected_after_its_timeout(
    impatient: ServerProcess, sent: bytes, timeout: float
) -> None:
    started = time.monotonic()
    with connected(impatient) as connection:
        connection.sendall(sent)
        wait_until_closed(connection)
    assert timeout * 0.9 <= time.monotonic() - started <= timeout + SLACK_SECONDS
    with ExitStack() as stack:
        connect_when_possible(impatient, stack)


@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY])
def test_a_connection_that_was_served_before_times_out_as_well(
    impatient: ServerProcess, sent: bytes
) -> None:
    timeout = BODY_SECONDS if sent == HALF_BODY else HEAD_SECONDS
    with ExitStack() as stack:
        started = time.monotonic()
        connection = connect_when_possible(impatient, stack)
        connection.sendall(sent)
        wait_until_closed(connection)
    assert timeout * 0.9 <= time.monotonic() - started <= timeout + SLACK_SECONDS


@pytest.mark.parametrize(("start", "piece"), [(LIVE[:-4], b"\r\nX: y"), (HALF_BODY, b"xxxx")])
def test_a_trickle_of_bytes_does_not_extend_the_timeout(
    impatient: ServerProcess, start: bytes, piece: bytes
) -> None:
    with connected(impatient) as connection:
        connection.sendall(start)
        connection.settimeout(0.1)
        started = time.monotonic()
        is_open = True
        while is_open:
            try:
                connection.sendall(piece)
                is_open = connection.recv(65536) != b""
            except TimeoutError:
                assert time.monotonic() - started < HEAD_SECONDS + SLACK_SECONDS
            except ConnectionError:
                is_open = False


def test_a_connection_in_use_outlives_the_idle_timeout(impatient: ServerProcess) -> None:
    longest = HEAD_SECONDS
    # Again if this process paused: then the connection may have been idle for too long.
    while longest > HEAD_SECONDS / 2:
        served = []
        with connected(impatient) as connection:
            times = [time.monotonic()]
            while times[-1] < times[0] + HEAD_SECONDS * 1.5:
                served.append(is_served(connection))
                time.sleep(HEAD_SECONDS / 8)
                times.append(time.monotonic())
        longest = max(later - earlier for earlier, later in pairwise(times))
    assert all(served)


def is_open(connection: socket.socket) -> bool:
    """Return whether the server keeps a silent connection open."""
    connection.settimeout(0.2)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    finally:
        connection.settimeout(SLACK_SECONDS)


def begin_request(connection: socket.socket) -> None:
    """Send half of a body, and wait until the server starts to read it."""
    connection.sendall(HALF_BODY.replace(b"Host:", b"Expect: 100-continue\r\nHost:", 1))
    assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")


def test_a_new_connection_closes_the_longest_idle_one(small: ServerProcess) -> None:
    with ExitStack() as stack:
        served = [connect_when_possible(small, stack) for _ in range(MAX_CONNECTIONS)]
        assert is_served(served[0])  # the second one is now idle for the longest time
        for idle in (1, 2, 3, 0):
            new = stack.enter_context(connected(small))
            assert is_served(new)
            assert not is_open(served[idle])
        assert is_served(new)


def test_a_connection_with_incomplete_headers_counts_as_idle(small: ServerProcess) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(small)) for _ in range(MAX_CONNECTIONS)]
        for connection in slow:
            connection.sendall(HALF_HEAD)
        assert all(map(is_open, slow))
        assert is_served(stack.enter_context(connected(small)))
        assert not is_open(slow[0])


def test_new_connections_are_closed_while_all_others_are_busy(small: ServerProcess) -> None:
    with ExitStack() as stack:
        busy = [stack.enter_context(connected(small)) for _ in range(MAX_CONNECTIONS)]
        for connection in busy:
            begin_request(connection)
        for _ in range(3 * MAX_CONNECTIONS):
            with connected(small) as rejected:
                wait_until_closed(rejected)
        assert all(map(is_open, busy))
        busy[0].close()
        connect_when_possible(small, stack)


@contextmanager
def connected_from(address: str, server: ServerProcess) -> Iterator[socket.socket]:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), SLACK_SECONDS, (address, 0)) as connection:
        yield connection


def test_a_network_is_limited_to_its_share_and_a_trusted_proxy_is_not(
    dsn: str, tmp_path: Path
) -> None:
    share = 3
    variables = {
        "DATABASE_URL": dsn,
        "USERAUTH_LIMITS__NETWORK_CONNECTIONS": str(share),
        "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.9/32",
    }
    with running_server(variables, tmp_path / "log") as server, ExitStack() as stack:

        def connect_from(address: str) -> socket.socket:
            connection = stack.enter_context(connected_from(address, server))
            assert is_served(connection)
            return connection

        neighbor = connect_from("127.0.0.2")
        proxied = [connect_from("127.0.0.9") for _ in range(3 * share)]
        crowd = [connect_from("127.0.0.3") for _ in range(3 * share)]
        assert [is_open(connection) for connection in crowd] == [False] * 6 + [True] * 3
        assert all(map(is_served, [neighbor, *proxied]))
        assert "Traceback" not in server.written()


@pytest.mark.parametrize("sent", [b"", b"G", HALF_HEAD])
def test_the_first_request_has_a_shorter_timeout(dsn: str, tmp_path: Path, sent: bytes) -> None:
    variables = {"DATABASE_URL": dsn, "USERAUTH_LIMITS__FIRST_REQUEST_SECONDS": "0.5"}
    with running_server(variables, tmp_path / "log") as server, ExitStack() as stack:
        connection = connect_when_possible(server, stack)
        silent = stack.enter_context(connected(server))
        silent.sendall(sent)
        wait_until_closed(silent)
        assert is_served(connection)


def test_a_reset_connection_frees_its_slot(small: ServerProcess) -> None:
    for number in range(3 * MAX_CONNECTIONS):
        with ExitStack() as stack:
            connection = connect_when_possible(small, stack)
            connection.sendall((HALF_HEAD, HALF_BODY, LIVE * 20)[number % 3])
            # Close with a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with ExitStack() as stack:
        served = [connect_when_possible(small, stack) for _ in range(MAX_CONNECTIONS)]
        assert all(map(is_served, served))


@contextmanager
def server_with_files(limit: int, dsn: str, log: Path) -> Iterator[ServerProcess]:
    """Run a server with a limit of open files."""
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "server.py")],
            env=environment(DATABASE_URL=dsn),
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),  # noqa: PLW1509
        )
    try:
        yield ServerProcess(process, child_processes.read_greeting(process, log), log)
    finally:
        child_processes.stop(process)


@pytest.mark.parametrize(("files", "clients"), [(130, 30), (60, 1)])
def test_a_low_limit_of_open_files_limits_the_connections_without_busy_waiting(
    postgres: str, tmp_path: Path, files: int, clients: int
) -> None:
    with server_with_files(files, postgres, tmp_path / "log") as server, ExitStack() as stack:
        attempts = [stack.enter_context(connected(server)) for _ in range(clients + 40)]
        served = [connection for connection in attempts if is_served(connection)]
        closed, _, _ = select.select(served, [], [], 0.2)
        served = [connection for connection in served if connection not in closed]
        assert len(served) == clients
        process = psutil.Process(server.process.pid)
        before = process.cpu_times()
        time.sleep(0.5)
        after = process.cpu_times()
        assert after.user + after.system - before.user - before.system < 0.25
        assert all(map(is_served, served))
        served.pop().close()
        connect_when_possible(server, stack)
        assert server.stop() == 0
        assert "Traceback" not in server.written()


def test_a_server_without_free_files_logs_it_and_recovers(postgres: str, tmp_path: Path) -> None:
    with (
        running_server({"DATABASE_URL": postgres}, tmp_path / "log") as server,
        ExitStack() as stack,
    ):
        kept = stack.enter_context(connected(server))
        assert is_served(kept)
        process = psutil.Process(server.process.pid)
        soft, hard = process.rlimit(psutil.RLIMIT_NOFILE)
        numbers = [int(each.name) for each in Path(f"/proc/{process.pid}/fd").iterdir()]
        process.rlimit(psutil.RLIMIT_NOFILE, (max(numbers) + 1, hard))
        attempts = [stack.enter_context(connected(server)) for _ in range(max(numbers))]
        assert not all(map(is_served, attempts))
        server.wait_for("fewer than 4 files can be opened")
        assert is_served(kept)
        process.rlimit(psutil.RLIMIT_NOFILE, (soft, hard))
        assert is_served(stack.enter_context(connected(server)))


def test_a_caller_that_never_reads_is_disconnected(dsn: str, tmp_path: Path) -> None:
    variables = {"DATABASE_URL": dsn, "USERAUTH_LIMITS__IDLE_TIMEOUT_SECONDS": "1"}
    with running_server(variables, tmp_path / "log") as server:
        port = int(server.url.rpartition(":")[2])
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.settimeout(20)
            stuck.connect(("127.0.0.1", port))
            with pytest.raises(OSError, match=r"reset|Broken pipe"):
                while True:
                    stuck.sendall(b"GET /n HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
