"""The server as a process: start, stop, crash and wrong settings."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.child_processes import read_greeting, stop
from tests.harness.configuration import ROOT
from tests.harness.databases import new_database
from tests.harness.preloaded import start as start_preloaded
from tests.harness.processes import (
    ServerProcess,
    environment,
    free_port,
    run_to_the_end,
    running_server,
)
from tests.harness.raw_http import connected, raw_request
from tests.harness.waiting import until, wait_until

CONNECTIONS = 100


@pytest.fixture
def server(dsn: str, tmp_path: Path) -> Iterator[ServerProcess]:
    """Run a server on the database of this run."""
    variables = {"DATABASE_URL": dsn, "USERAUTH_SERVER__DRAIN_SECONDS": "60"}
    with running_server(variables, tmp_path / "log") as process:
        yield process


def test_the_server_runs_on_uvloop_and_stops_cleanly(dsn: str, tmp_path: Path) -> None:
    async def use(server: ServerProcess) -> None:
        api = Api(server.url)
        token = await api.registered_token()
        assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200
        api.close()

    with running_server({"DATABASE_URL": dsn}, tmp_path / "log", preloaded=False) as server:
        asyncio.run(use(server))
        libraries = {
            Path(mapped.path).name for mapped in psutil.Process(server.process.pid).memory_maps()
        }
        assert any(name.startswith("loop.") and "cpython" in name for name in libraries)
        assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_without_connections_stops_at_once(server: ServerProcess, number: int) -> None:
    server.signal(number)
    # With running requests it would wait for up to a minute.
    assert server.wait(20) == 0
    assert "Traceback" not in server.written()


def test_ready_is_503_right_after_sigterm_and_late_requests_are_served(
    dsn: str, tmp_path: Path
) -> None:
    variables = {"DATABASE_URL": dsn, "USERAUTH_SERVER__DRAIN_DELAY_SECONDS": "5"}
    with running_server(variables, tmp_path / "log") as server, ExitStack() as stack:
        address = urlsplit(server.url)
        kept, late, new = (
            stack.enter_context(closing(HTTPConnection(address.hostname or "", address.port)))
            for _ in range(3)
        )
        for connection in (kept, late):
            connection.request("GET", "/health/ready")
            assert connection.getresponse().read() == b'{"status":"ok"}\n'
        server.signal(signal.SIGTERM)
        # The signal arrives within an unknown time.
        wait_until(lambda: httpx.get(f"{server.url}/health/ready", timeout=30).status_code != 200)
        for connection in (kept, new):
            connection.request("GET", "/health/ready")
            answer = connection.getresponse()
            assert answer.status == 503
            assert answer.headers["Retry-After"]
            assert json.loads(answer.read())["type"] == "/docs/problems.md#shutting-down"
        late.request("GET", "/health/live")
        answer = late.getresponse()
        assert answer.status == 200
        assert answer.headers["Connection"] == "close"
        stack.close()
        assert server.wait() == 0


def test_sigterm_under_load_fails_no_request_that_was_sent(dsn: str, tmp_path: Path) -> None:
    statuses: list[int] = []

    async def log_in(api: Api) -> None:
        answer = await api.log_in()
        statuses.append(answer.status)

    async def use(server: ServerProcess) -> None:
        api = Api(server.url)
        await api.register()
        running = [asyncio.create_task(log_in(api)) for _ in range(40)]
        await until(lambda: statuses)
        server.signal(signal.SIGTERM)
        await asyncio.gather(*running)
        api.close()

    variables = {
        "DATABASE_URL": dsn,
        # At this cost a login takes some 20 ms: most of them wait when the signal arrives.
        "USERAUTH_PASSWORDS__BCRYPT_COST": "8",
        # On a slow machine, some connect after the signal, and all take long.
        "USERAUTH_SERVER__DRAIN_DELAY_SECONDS": "2",
        "USERAUTH_SERVER__DRAIN_SECONDS": "60",
    }
    with running_server(variables, tmp_path / "log") as server:
        asyncio.run(use(server))
        assert server.wait() == 0
    assert statuses == [200] * 40


def test_sigterm_under_full_load_answers_each_request_of_every_connection(
    dsn: str, tmp_path: Path
) -> None:
    statuses: Counter[int] = Counter()

    async def send_until_closed(api: Api, request: bytes, is_open: asyncio.Event) -> None:
        async with connected(api) as (reader, writer):
            closes_connection = False
            while not closes_connection:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
                await reader.readexactly(length)
                statuses[int(head.split()[1])] += 1
                is_open.set()
                closes_connection = b"Connection: close" in head

    async def use(server: ServerProcess) -> None:
        api = Api(server.url)
        token = await api.registered_token()
        request = raw_request("GET", "/api/user", f"Authorization: {bearer(token)}")
        opened = [asyncio.Event() for _ in range(CONNECTIONS)]
        running = [asyncio.create_task(send_until_closed(api, request, each)) for each in opened]
        for each in opened:
            await each.wait()
        await until(lambda: statuses[200] >= 10 * CONNECTIONS)
        server.signal(signal.SIGTERM)
        await asyncio.gather(*running)
        api.close()

    with running_server({"DATABASE_URL": dsn}, tmp_path / "log") as server:
        asyncio.run(use(server))
        assert server.wait() == 0
    assert set(statuses) == {200}


@pytest.mark.serial
def test_each_request_that_starts_at_the_end_of_a_drain_is_answered(
    dsn: str, tmp_path: Path
) -> None:
    answered = connections = 0

    async def send_late(
        api: Api, request: bytes, is_over: asyncio.Event, milliseconds: float
    ) -> None:
        nonlocal answered, connections
        async with connected(api) as (reader, writer):
            connections += 1
            await is_over.wait()
            await asyncio.sleep(milliseconds / 1000)
            writer.write(request)
            with suppress(ConnectionError):
                received = await reader.read()
                # Many wait for a hash at the same time: on a slow machine some get 503.
                answered += received.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 503 "))

    async def use(server: ServerProcess) -> None:
        api = Api(server.url)
        await api.register()
        by_password = f"Authorization: {basic('susan@example.com', PASSWORD)}"
        request = raw_request("GET", "/api/user/login", by_password)
        # Idle during the drain delay, then all at about its end. The first ones start so early that
        # a pause of this process does not make all of them late.
        is_over = asyncio.Event()
        count = 4 * CONNECTIONS
        step = 800 / count
        running = [
            asyncio.create_task(send_late(api, request, is_over, number * step))
            for number in range(count)
        ]
        await until(lambda: connections >= len(running))
        server.signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        is_over.set()
        await asyncio.gather(*running)
        api.close()

    variables = {
        "DATABASE_URL": dsn,
        "USERAUTH_SERVER__DRAIN_DELAY_SECONDS": "1",
        # A slow machine rejects those that would not end with the drain.
        "USERAUTH_PASSWORDS__MAX_WAIT_SECONDS": "5",
        "USERAUTH_PASSWORDS__BCRYPT_COST": "6",  # some milliseconds: requests overlap
    }
    with running_server(variables, tmp_path / "log") as server:
        asyncio.run(use(server))
        assert server.wait() == 0
        # Of many that get 503 on a slow machine, only the number is logged.
        omitted = re.findall(r"omitted route=/api/user/login .*omitted=(\d+)", server.written())
        begun = server.written().count("GET /api/user/login ") + sum(map(int, omitted))
    assert 0 < answered == begun, (answered, begun, server.written()[-2000:])


def test_a_second_stop_signal_does_not_break_the_stop(server: ServerProcess) -> None:
    for _ in range(3):
        server.signal(signal.SIGTERM)
    assert server.wait() == 0


def test_signals_during_the_stop_of_the_embedded_postgres_do_not_break_it(
    tmp_path: Path, open_folder: Path
) -> None:
    variables = {
        "DATABASE_URL": "embedded",
        "USERAUTH_DATABASE__EMBEDDED_DIR": str(open_folder / "data"),
    }
    with running_server(variables, tmp_path / "log") as server:
        server.signal(signal.SIGTERM)
        code = None
        while code is None:
            for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
                with suppress(ProcessLookupError):  # it may end at any time
                    server.signal(number)
            with suppress(subprocess.TimeoutExpired):
                code = server.wait(0.002)
        assert code == 0
        assert "Traceback" not in server.written()
    assert not (open_folder / "data" / "postmaster.pid").exists()


def test_embedded_data_survives_kill_9_and_the_next_start_finds_it(
    tmp_path: Path, open_folder: Path
) -> None:
    variables = {
        "DATABASE_URL": "embedded",
        "USERAUTH_DATABASE__EMBEDDED_DIR": str(open_folder / "data"),
    }

    async def register_then(server: ServerProcess) -> str:
        api = Api(server.url)
        token = await api.registered_token()
        server.signal(signal.SIGKILL)
        api.close()
        return token

    async def use(server: ServerProcess, token: str) -> None:
        api = Api(server.url)
        assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200
        assert (await api.log_in()).status == 200
        api.close()

    with running_server(variables, tmp_path / "log") as server:
        token = asyncio.run(register_then(server))
        assert server.wait() == -signal.SIGKILL
    with running_server(variables, tmp_path / "log") as server:
        asyncio.run(use(server, token))
        assert server.stop() == 0
    assert not [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "postgres"
        and str(open_folder) in " ".join(process.info["cmdline"] or ())
    ]


def test_the_server_exits_with_2_and_a_line_for_each_fault_of_the_settings() -> None:
    ended = run_to_the_end(PORT="many", USERAUTH_DATABASE__POOL_MAX="0", DATABASE_URL="mysql://x")
    assert ended.returncode == 2
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert len(lines) == 3
    for path in ("server.port", "database.pool_max", "database.url"):
        assert any(path in line for line in lines)


def test_check_starts_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    ended = run_to_the_end("--check", USERAUTH_DATABASE__EMBEDDED_DIR=str(folder))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not folder.exists()


def test_production_needs_a_database_and_keys() -> None:
    ended = run_to_the_end(APP_SETTINGS="production", SECRET_KEYS="", DATABASE_URL="")
    assert ended.returncode == 2
    assert "DATABASE_URL" in ended.stderr
    assert "SECRET_KEYS" in ended.stderr


def test_a_port_in_use_is_reported_in_one_sentence(dsn: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_to_the_end(DATABASE_URL=dsn, PORT=port)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"userauth: cannot listen on 127.0.0.1:{port}: Address already in use."
        " Stop the process that uses it, or set HOST or PORT.\n"
    )


@pytest.mark.parametrize(
    ("variable", "settable"),
    [("HOST", "HOST or PORT"), ("USERAUTH_METRICS__HOST", "metrics.host or metrics.port")],
)
def test_a_host_that_does_not_exist_has_no_process_to_stop(
    dsn: str, variable: str, settable: str
) -> None:
    ended = run_to_the_end(
        DATABASE_URL=dsn, PORT="0", USERAUTH_METRICS__PORT=str(free_port()), **{variable: "a b"}
    )
    assert ended.returncode == 1
    assert re.fullmatch(
        rf"userauth: cannot listen on a b:\d+: [^.]+\. Set {settable}\.\n", ended.stderr
    )


def test_an_unreachable_database_is_reported_in_one_sentence_without_the_password() -> None:
    ended = run_to_the_end(DATABASE_URL="postgresql://susan:open-sesame@127.0.0.1:1/none")
    assert ended.returncode == 1
    assert "DATABASE_URL" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "open-sesame" not in ended.stderr


def test_processes_that_start_at_the_same_time_create_the_schema_once(
    postgres: str, tmp_path: Path
) -> None:
    with new_database(postgres, "crowd") as url, ExitStack() as stack:
        starting = []
        for name in ("first", "second", "third", "fourth"):
            log = tmp_path / name
            with log.open("w", encoding="utf-8") as stream:
                process = start_preloaded([], stream, environment(DATABASE_URL=url))
            stack.callback(stop, process)
            starting.append((log, process))
        for log, process in starting:
            read_greeting(process, log)
        for _, process in starting:
            assert stop(process) == 0


def test_the_log_contains_requests_and_no_secret(server: ServerProcess) -> None:
    secret = "a password that must stay secret"
    email = "susan.secret@example.com"

    async def use() -> str:
        api = Api(server.url)
        await api.register(email, secret)
        token = await api.token(email, secret)
        await api.request(
            "GET",
            f"/api/user?token={token}",
            authorization=bearer(token),
            headers={"X-Request-ID": "id-7"},
        )
        await api.request("GET", "/api/user", authorization=basic(email, secret + "?"))
        await api.request("GET", "/line%0abreak", authorization=basic(token))
        api.close()
        return token

    token = asyncio.run(use())
    server.stop()
    written = server.written()
    assert "GET /api/user 422" in written
    assert "client=id-7" in written
    for hidden in (secret, email, token, "token="):
        assert hidden not in written
    # Next to a warning if the machine is loaded.
    assert written.count(" INFO ") == 5


@pytest.mark.parametrize(
    ("program", "imported"), [("server.py", "tornado"), ("manage.py", "click")]
)
def test_an_interrupt_during_the_imports_ends_a_program_without_a_traceback(
    tmp_path: Path, program: str, imported: str
) -> None:
    # In place of a library: interrupts the program that imports it.
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / f"{imported}.py").write_text(code, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, str(ROOT / program), "--help"],
        env=environment(PYTHONPATH=str(tmp_path)),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")
