"""/metrics of a server process, on the port in the settings."""

import asyncio
import re
import signal
import socket
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from tests.harness.api import Api, bearer
from tests.harness.configuration import KEY, ROOT, settings_with
from tests.harness.processes import free_port, run_to_the_end, running_server
from tests.harness.raw_http import SECONDS, raw_request
from tests.harness.scraping import read, read_now, scrape
from tests.harness.sql import run_sql
from tests.harness.waiting import until, wait_until
from wiring.application import open_application


def test_metrics_have_no_listener_by_default(dsn: str, tmp_path: Path) -> None:
    with running_server({"DATABASE_URL": dsn}, tmp_path / "log") as server:
        listeners = [
            connection
            for connection in psutil.Process(server.process.pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert len(listeners) == 1


def test_a_port_in_use_stops_the_start_and_names_the_setting(dsn: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        ended = run_to_the_end(DATABASE_URL=dsn, USERAUTH_METRICS__PORT=port)
    assert ended.returncode == 1
    assert re.fullmatch(
        rf"userauth: cannot listen on 127.0.0.1:{port}: Address already in use\. Stop"
        r" the process that uses it, or set metrics.host or metrics.port.\n",
        ended.stderr,
    )
    assert ended.stdout == ""


def test_metrics_and_the_api_cannot_share_a_port(dsn: str) -> None:
    port = str(free_port())
    ended = run_to_the_end(DATABASE_URL=dsn, PORT=port, USERAUTH_METRICS__PORT=port)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"userauth: cannot listen on 127.0.0.1:{port}: Address already in use."
        " metrics.port is the same port: set another one.\n"
    )


def test_metrics_include_the_process_the_build_and_the_event_loop_lag(
    dsn: str, tmp_path: Path
) -> None:
    port = free_port()
    variables = {"DATABASE_URL": dsn, "USERAUTH_METRICS__PORT": str(port)}
    with running_server(variables, tmp_path / "log") as server:
        found = read(read_now(f"http://127.0.0.1:{port}/metrics"))
        version = re.findall(
            r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
        )
        assert [found.value("userauth_build_info", version=version[0])] == [1]
        process = psutil.Process(server.process.pid)
        resident = found.value("process_resident_memory_bytes")
        assert resident == pytest.approx(process.memory_info().rss, rel=0.5)
        # A stopped process blocks its event loop.
        server.signal(signal.SIGSTOP)
        time.sleep(0.6)
        server.signal(signal.SIGCONT)

        def was_late() -> bool:
            found = read(read_now(f"http://127.0.0.1:{port}/metrics"))
            name = "userauth_event_loop_lag_seconds"
            late = found.value(f"{name}_count") - found.value(f"{name}_bucket", le="0.3")
            return late >= 1 and found.value(f"{name}_sum") > 0.4

        wait_until(was_late)


def test_metrics_are_available_until_the_server_exits(dsn: str, tmp_path: Path) -> None:
    port = free_port()
    variables = {
        "DATABASE_URL": dsn,
        "USERAUTH_METRICS__PORT": str(port),
        "USERAUTH_SERVER__DRAIN_DELAY_SECONDS": "2",
        # Longer than the test waits for the exit.
        "USERAUTH_SERVER__DRAIN_SECONDS": "120",
    }
    with (
        running_server(variables, tmp_path / "log") as server,
        closing(HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as kept,
    ):
        kept.request("GET", "/metrics")
        assert read(kept.getresponse().read().decode()).value("userauth_draining") == 0
        server.signal(signal.SIGTERM)
        # Fails if the server exits before a scrape sees that it is draining.
        wait_until(
            lambda: read(read_now(f"http://127.0.0.1:{port}/metrics")).value("userauth_draining")
        )
        # The open connection of Prometheus does not delay the exit.
        assert server.wait() == 0
        kept.close()
        with pytest.raises(OSError):  # noqa: PT011 - refused
            read_now(f"http://127.0.0.1:{port}/metrics")
        assert "Traceback" not in server.written()


def test_scraping_under_load_loses_no_request_and_counts_each(dsn: str, tmp_path: Path) -> None:
    statuses: list[bytes] = []

    async def ask(url: str, request: bytes, is_done: asyncio.Event) -> None:
        address = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(address[0], int(address[1]))
        while not is_done.is_set():
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
            await reader.readexactly(length)
            statuses.append(head[9:12])
        writer.close()

    async def use(url: str, port: int) -> None:
        api = Api(url)
        token = await api.registered_token()
        api.close()
        request = raw_request("GET", "/api/user", f"Authorization: {bearer(token)}")
        is_done = asyncio.Event()
        asking = [asyncio.create_task(ask(url, request, is_done)) for _ in range(10)]
        await until(lambda: len(statuses) >= 500)
        scrapes = [await scrape(port) for _ in range(20)]
        is_done.set()
        await asyncio.gather(*asking)
        counts = [
            found.value("userauth_requests_total", route="/api/user", status="200")
            for found in scrapes
        ]
        assert counts == sorted(counts)
        last = await scrape(port)
        name = "userauth_requests_total"
        assert last.value(name, route="/api/user", status="200") == len(statuses)
        labels = {"route": "/api/user", "le": "+Inf"}
        assert last.value("userauth_request_seconds_bucket", **labels) == len(statuses)

    port = free_port()
    variables = {"DATABASE_URL": dsn, "USERAUTH_METRICS__PORT": str(port)}
    with running_server(variables, tmp_path / "log") as server:
        asyncio.run(use(server.url, port))
        assert server.stop() == 0
    assert set(statuses) == {b"200"}


@pytest.mark.parametrize("ahead", [0.0, 960.0])
def test_a_clock_offset_from_postgres_is_measured_and_has_no_effect(
    dsn: str, caplog: pytest.LogCaptureFixture, ahead: float
) -> None:
    async def run() -> None:
        settings = settings_with(METRICS__PORT=free_port())
        opened = open_application(settings, [KEY], dsn, wall=lambda: time.time() + ahead)
        async with opened as application:
            assert application.metrics is not None
            found = read((await application.metrics.expose("")).text.decode())
            assert found.value("userauth_clock_offset_seconds") == pytest.approx(ahead, abs=5)
            await application.services.clients.add("service")

    asyncio.run(run())
    [(age,)] = run_sql(
        dsn, "SELECT extract(epoch FROM clock_timestamp() - created_at)::float FROM clients"
    )
    assert -0.5 < age < 60
    assert ("the clock of this host differs" in caplog.text) is (ahead > 1)
