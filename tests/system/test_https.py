"""HTTPS by the server itself, or by a trusted proxy."""

import asyncio
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from tests.harness.api import PASSWORD
from tests.harness.certificates import make_certificate
from tests.harness.processes import ServerProcess, run_to_the_end, running_server
from tests.harness.programs import get_program
from tests.harness.raw_http import SECONDS, raw_request
from tests.harness.waiting import until

pytestmark = pytest.mark.needs("openssl")
REQUIRED = {"USERAUTH_SERVER__REQUIRE_HTTPS": "true"}
BUSY_CLIENTS = 30
Result = TypeVar("Result")
ACCOUNT = {"email": "susan@example.com", "password": PASSWORD}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return make_certificate(tmp_path / "tls")


def variables(dsn: str, files: tuple[Path, Path]) -> dict[str, str]:
    return {
        "DATABASE_URL": dsn,
        "USERAUTH_SERVER__CERTIFICATE": str(files[0]),
        "USERAUTH_SERVER__PRIVATE_KEY": str(files[1]),
        "USERAUTH_SERVER__DRAIN_SECONDS": "60",
        **REQUIRED,
    }


@pytest.fixture
def server(dsn: str, files: tuple[Path, Path], tmp_path: Path) -> Iterator[ServerProcess]:
    with running_server(variables(dsn, files), tmp_path / "log") as running:
        yield running


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def certificate_of(server: ServerProcess) -> bytes:
    """Return the certificate that a new connection receives."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port = int(server.url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), SECONDS) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        certificate = wrapped.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def test_everything_works_over_https(server: ServerProcess, files: tuple[Path, Path]) -> None:
    assert server.url.startswith("https://")
    with httpx.Client(base_url=server.url, verify=trusting(files[0]), timeout=30) as client:
        assert client.post("/api/user/register", json=ACCOUNT).status_code == 201
        login = client.get("/api/user/login", auth=(ACCOUNT["email"], PASSWORD))
        token = login.json()["token"]
        for _ in range(20):
            answer = client.get("/api/user", headers={"Authorization": f"Bearer {token}"})
            assert answer.json()["email"] == ACCOUNT["email"]
        large = client.post("/api/user/register", content=b"x" * 200_000)
        assert large.status_code in {413, 415}


def test_many_connections_are_served_over_https(
    server: ServerProcess, files: tuple[Path, Path]
) -> None:
    async def ask(client: httpx.AsyncClient) -> set[int]:
        return {(await client.get("/health/ready")).status_code for _ in range(10)}

    async def run() -> set[int]:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(
            base_url=server.url, verify=trusting(files[0]), limits=limits, timeout=30
        ) as client:
            return set().union(*await asyncio.gather(*[ask(client) for _ in range(50)]))

    assert asyncio.run(run()) == {200}


def test_versions_of_tls_before_1_2_are_rejected(server: ServerProcess) -> None:
    host = server.url.removeprefix("https://")
    options = ["-connect", host, "-cipher", "ALL:@SECLEVEL=0"]
    command = [get_program("openssl"), "s_client", *options]
    for version, is_supported in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        ended = subprocess.run(
            [*command, version], input=b"", capture_output=True, timeout=20, check=False
        )
        assert (b"BEGIN CERTIFICATE" in ended.stdout) == is_supported, version


def test_plain_http_and_silent_connections_do_not_affect_other_callers(
    server: ServerProcess, files: tuple[Path, Path]
) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), SECONDS):
        with socket.create_connection(("127.0.0.1", port), SECONDS) as plain:
            plain.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with suppress(ConnectionResetError):
                assert b"200" not in plain.recv(1000)
        answer = httpx.get(f"{server.url}/health/live", verify=trusting(files[0]), timeout=30)
        assert answer.status_code == 200
    assert "Traceback" not in server.written()
    assert "SSL Error" not in server.written()


class Records:
    """A client that sends its TLS records in pieces."""

    def __init__(self, server: ServerProcess) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        port = int(server.url.rpartition(":")[2])
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        self._exchange(self._tls.do_handshake)

    def encrypted(self, plain: bytes) -> bytes:
        self._tls.write(plain)
        return self._outgoing.read()

    def read(self) -> bytes:
        """Return the next data; nothing if the server has closed the TLS connection."""
        try:
            return self._exchange(partial(self._tls.read, 65536))
        except ssl.SSLZeroReturnError:
            return b""

    def close(self) -> None:
        self.socket.close()

    def _exchange(self, step: Callable[[], Result]) -> Result:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self.socket.sendall(self._outgoing.read())
                received = self.socket.recv(65536)
                assert received, "cut"
                self._incoming.write(received)
            else:
                self.socket.sendall(self._outgoing.read())
                return result


@pytest.mark.parametrize("after_another", [False, True])
def test_a_partly_received_request_is_completed_during_shutdown(
    server: ServerProcess, *, after_another: bool
) -> None:
    with closing(Records(server)) as client, closing(Records(server)) as idle:
        head = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
        begun = b""
        if after_another:
            begun = client.encrypted(head + b"\r\n")
        record = client.encrypted(head + b"X-Padding: " + b"x" * 1500 + b"\r\n\r\n")
        client.socket.sendall(begun + record[:700])
        if after_another:
            assert client.read().startswith(b"HTTP/1.1 200 ")
        server.signal(signal.SIGTERM)
        # Wait until the server has closed the idle connection.
        assert idle.read() == b""
        client.socket.sendall(record[700:])
        assert client.read().startswith(b"HTTP/1.1 200 ")
        assert client.read() == b""
    assert server.wait() == 0


def test_a_completed_request_that_arrived_in_parts_does_not_delay_shutdown(
    server: ServerProcess,
) -> None:
    with closing(Records(server)) as client:
        record = client.encrypted(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for part in (record[:20], record[20:]):
            client.socket.sendall(part)
            # A completed handshake shows that the server's loop has read the first part.
            with closing(Records(server)):
                pass
        assert client.read().startswith(b"HTTP/1.1 200 ")
        server.signal(signal.SIGTERM)
        # Long before the end of server.drain_seconds.
        client.socket.settimeout(20)
        assert client.read() == b""
    assert server.wait() == 0


def test_sigterm_under_load_loses_and_cuts_no_response_over_tls(
    server: ServerProcess, files: tuple[Path, Path]
) -> None:
    responses = 0
    request = raw_request("GET", "/health/live")
    port = int(server.url.rpartition(":")[2])

    async def send_until_closed(is_open: asyncio.Event) -> None:
        nonlocal responses
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trusting(files[0]))
        closes_connection = False
        while not closes_connection:
            writer.write(request)
            # Raises IncompleteReadError if the response is missing or cut.
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            await reader.readuntil(b"}\n")
            responses += 1
            is_open.set()
            closes_connection = b"Connection: close" in head
        assert await reader.read() == b""
        writer.close()

    async def use() -> None:
        opened = [asyncio.Event() for _ in range(BUSY_CLIENTS)]
        running = [asyncio.create_task(send_until_closed(each)) for each in opened]
        for each in opened:
            await each.wait()
        await until(lambda: responses >= 10 * BUSY_CLIENTS)
        server.signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            await asyncio.gather(*running)

    asyncio.run(use())
    assert server.wait() == 0


def test_garbage_after_the_handshake_is_not_logged(server: ServerProcess) -> None:
    with closing(Records(server)) as client:
        client.socket.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        with suppress(ssl.SSLError, AssertionError, ConnectionError):
            while client.read():
                pass
    assert server.stop() == 0
    assert "SSL" not in server.written()


def test_a_renewed_certificate_is_used_after_sighup(
    server: ServerProcess, files: tuple[Path, Path]
) -> None:
    before = certificate_of(server)
    with httpx.Client(base_url=server.url, verify=trusting(files[0]), timeout=30) as client:
        assert client.get("/health/live").status_code == 200
        make_certificate(files[0].parent)
        server.signal(signal.SIGHUP)
        server.wait_for("reloaded the certificate")
        # The open connection stays open.
        assert client.get("/health/live").status_code == 200
    assert certificate_of(server) != before


def test_an_invalid_renewal_keeps_the_old_certificate(
    server: ServerProcess, files: tuple[Path, Path], tmp_path: Path
) -> None:
    before = certificate_of(server)
    _, other_key = make_certificate(tmp_path / "other")
    files[1].write_bytes(other_key.read_bytes())
    server.signal(signal.SIGHUP)
    server.wait_for("The old certificate remains in use.")
    assert certificate_of(server) == before
    assert "PRIVATE KEY" not in server.written()


@pytest.mark.parametrize("fault", ["missing", "other key", "passphrase", "no certificate"])
def test_an_invalid_certificate_stops_the_start(
    dsn: str, files: tuple[Path, Path], tmp_path: Path, fault: str
) -> None:
    certificate, key = files
    if fault == "missing":
        key.unlink()
    elif fault == "other key":
        key.write_bytes(make_certificate(tmp_path / "other")[1].read_bytes())
    elif fault == "no certificate":
        certificate.write_text("nothing", encoding="utf-8")
    else:
        encrypt = f"ec -in {key} -out {key} -aes256 -passout pass:secret"
        subprocess.run([get_program("openssl"), *encrypt.split()], check=True, capture_output=True)
    ended = run_to_the_end(**variables(dsn, files))
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert ("server.private_key" if fault == "missing" else "server.certificate") in line


@pytest.mark.parametrize(
    ("proxies", "sent", "status"),
    [
        ("127.0.0.0/8", "https", 200),
        ("127.0.0.0/8", "HTTPS", 200),
        ("127.0.0.0/8", "http", 403),
        ("127.0.0.0/8", "https, http", 403),
        ("127.0.0.0/8", "", 403),
        ("127.0.0.0/8", None, 403),
        ("10.0.0.0/8", "https", 403),
    ],
)
def test_a_trusted_proxy_forwards_the_scheme(
    dsn: str, tmp_path: Path, proxies: str, sent: str | None, status: int
) -> None:
    settings = {
        "DATABASE_URL": dsn,
        "USERAUTH_SERVER__TRUSTED_PROXIES": proxies,
        **REQUIRED,
    }
    fields = {} if sent is None else {"X-Forwarded-Proto": sent}
    with (
        running_server(settings, tmp_path / "log") as server,
        httpx.Client(base_url=server.url, headers=fields, timeout=30) as client,
    ):
        answer = client.post("/api/user/register", json=ACCOUNT)
        assert answer.status_code == (201 if status == 200 else status)
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 200
        if status == 403:
            assert answer.json()["type"] == "/docs/problems.md#https-required"
            for method, path in (("GET", "/nowhere"), ("OPTIONS", "/api/user"), ("PUT", "/api")):
                assert client.request(method, path).status_code == 403
