"""Thousands of idle clients, slow ones and half requests: nothing is lost, and memory is bounded.

``--log-cli-level=INFO`` shows the figures of a run.
"""

import logging
import resource
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.harness.api import PASSWORD
from tests.harness.certificates import make_certificate
from tests.harness.crowd import (
    CrowdedServer,
    RepeatingClient,
    SlowReader,
    once_a_second,
    read_to_end,
    receive,
)
from tests.harness.processes import running_server
from tests.harness.raw_http import JSON, raw_request

pytestmark = [
    pytest.mark.long,
    pytest.mark.serial,
    pytest.mark.timeout(600),
    pytest.mark.needs("openssl"),
]
Record = Callable[[str, object], None]
LIVE = raw_request("GET", "/health/live")
LARGE = raw_request("GET", "/docs/swagger-ui-bundle.js")
# Several fill the buffers of the kernel, and the server waits for the client to read.
LARGE_COUNT = 4
BODY_HEAD = raw_request("POST", "/api/user/register", JSON, "Content-Length: 40")
BODY = b"{}".ljust(40)
CHUNKED = raw_request("POST", "/api/user/register", JSON, "Transfer-Encoding: chunked")
# What a client sends at first, the rest of it, and the status of the response.
HALVES = (
    (LIVE[:1], LIVE[1:], 200),
    (LIVE[:-2], LIVE[-2:], 200),
    (BODY_HEAD + BODY[:20], BODY[20:], 422),
    (CHUNKED + b"2\r\n{", b"}\r\n0\r\n\r\n", 422),
)
IDLE, HALF_OPEN, SLOW, SLOW_READERS, BUSY = 5_000, 300, 100, 50, 20
SAMPLES = 500
# The limits: of the memory of a client in the server, and of the p99 of another client.
MAX_KIB = {
    "idle": {"http": 8, "https": 40},
    "half-open": {"http": 16, "https": 64},
    "slow": {"http": 32, "https": 128},
}
MAX_P99_MS = 250


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def crowded(scheme: str, dsn: str, tmp_path: Path) -> Iterator[CrowdedServer]:
    """Run a server that leaves slow clients the time that these tests take."""
    variables = {
        "DATABASE_URL": dsn,
        "USERAUTH_LIMITS__NETWORK_CONNECTIONS": "0",
        "USERAUTH_LIMITS__FIRST_REQUEST_SECONDS": "300",
        "USERAUTH_LIMITS__IDLE_TIMEOUT_SECONDS": "300",
        "USERAUTH_LIMITS__BODY_TIMEOUT_SECONDS": "300",
        "USERAUTH_SERVER__LAG_WARNING_SECONDS": "60",
    }
    tls = None
    if scheme == "https":
        certificate, key = make_certificate(tmp_path / "tls")
        variables["USERAUTH_SERVER__CERTIFICATE"] = str(certificate)
        variables["USERAUTH_SERVER__PRIVATE_KEY"] = str(key)
        tls = ssl.create_default_context(cafile=str(certificate))
    with running_server(variables, tmp_path / "log") as server:
        yield CrowdedServer(server, tls)
        assert "Traceback" not in server.written()


@pytest.fixture
def token_request(crowded: CrowdedServer) -> bytes:
    """Return the request of a user by token."""
    account = {"email": "susan@example.com", "password": PASSWORD}
    with httpx.Client(
        base_url=crowded.server.url, verify=crowded.tls or False, timeout=30
    ) as client:
        assert client.post("/api/user/register", json=account).status_code == 201
        answer = client.post("/api/user/login", auth=(account["email"], PASSWORD))
        token = answer.json()["token"]
    return raw_request("GET", "/api/user", f"Authorization: Bearer {token}")


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open a file for each client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * IDLE), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def record() -> Record:
    """Return what logs a figure."""
    return lambda name, value: logging.getLogger(__name__).info("%s: %s", name, value)


def check_neighbor(neighbor: RepeatingClient, record: Record) -> None:
    """Record the times of the client beside the others, within their limit."""
    record("responses to the client beside", len(neighbor.seconds))
    record("p99 of the client beside, ms", round(neighbor.p99_ms, 1))
    assert set(neighbor.statuses) == {"200"}
    assert neighbor.p99_ms <= MAX_P99_MS


def check_memory(
    crowded: CrowdedServer, before: float, clients: int, limit: int, record: Record
) -> None:
    """Record the memory of the clients in the server, within the limit for each, in KiB."""
    after = crowded.resident_kib()
    record("memory before, MiB", round(before / 1024, 1))
    record("memory with the clients, MiB", round(after / 1024, 1))
    record("memory of a client, KiB", round((after - before) / clients, 1))
    assert after - before <= clients * limit


def status_of(head: bytes) -> int:
    return int(head.split()[1])


@pytest.mark.usefixtures("many_files")
def test_5000_idle_clients_are_served_again_and_delay_no_other_client(
    crowded: CrowdedServer, token_request: bytes, scheme: str, record: Record
) -> None:
    with ExitStack() as stack:
        before = crowded.resident_kib()
        clients = []
        for _ in range(IDLE):
            client = stack.enter_context(crowded.connect())
            client.sendall(LIVE)
            assert status_of(receive(client)[0]) == 200
            clients.append(client)
        check_memory(crowded, before, IDLE, MAX_KIB["idle"][scheme], record)
        with RepeatingClient(crowded, token_request) as neighbor:
            neighbor.wait_for(SAMPLES)
        check_neighbor(neighbor, record)
        for client in clients:
            client.sendall(LIVE)
            assert status_of(receive(client)[0]) == 200
        crowded.server.signal(signal.SIGTERM)
        assert {read_to_end(client) for client in clients} == {b""}
        assert crowded.server.wait() == 0


def test_300_half_requests_delay_no_other_client_and_are_served_once_complete(
    crowded: CrowdedServer, token_request: bytes, scheme: str, record: Record
) -> None:
    with ExitStack() as stack:
        before = crowded.resident_kib()
        clients = [stack.enter_context(crowded.connect()) for _ in range(HALF_OPEN)]
        for number, client in enumerate(clients):
            client.sendall(HALVES[number % len(HALVES)][0])
        with RepeatingClient(crowded, token_request) as neighbor:
            neighbor.wait_for(SAMPLES)
        check_neighbor(neighbor, record)
        check_memory(crowded, before, HALF_OPEN, MAX_KIB["half-open"][scheme], record)
        for number, client in enumerate(clients):
            _, rest, status = HALVES[number % len(HALVES)]
            client.sendall(rest)
            assert status_of(receive(client)[0]) == status


def test_clients_that_send_or_read_a_byte_a_second_get_whole_responses(
    crowded: CrowdedServer, token_request: bytes, scheme: str, record: Record
) -> None:
    whole = LARGE_COUNT * large_response_size(crowded)
    with ExitStack() as stack:
        before = crowded.resident_kib()
        heads = [stack.enter_context(crowded.connect()) for _ in range(SLOW)]
        bodies = [stack.enter_context(crowded.connect()) for _ in range(SLOW)]
        readers = [
            SlowReader(stack.enter_context(crowded.connect(receive_bytes=65536)))
            for _ in range(SLOW_READERS)
        ]
        send_to_all(bodies, BODY_HEAD)
        send_to_all([reader.client for reader in readers], LARGE * LARGE_COUNT)

        def step(number: int) -> None:
            send_to_all(heads, LIVE[number : number + 1])
            send_to_all(bodies, BODY[number : number + 1])
            for reader in readers:
                reader.read(1)

        with RepeatingClient(crowded, token_request) as neighbor:
            once_a_second(step, max(len(LIVE), len(BODY)))
        check_neighbor(neighbor, record)
        clients = 2 * SLOW + SLOW_READERS
        check_memory(crowded, before, clients, MAX_KIB["slow"][scheme], record)
        assert {status_of(receive(client)[0]) for client in heads} == {200}
        assert {status_of(receive(client)[0]) for client in bodies} == {422}
        for reader in readers:
            reader.read_until(whole)
            assert reader.received.count(b"HTTP/1.1 200 OK\r\n") == LARGE_COUNT


def send_to_all(clients: Sequence[socket.socket], data: bytes) -> None:
    for client in clients:
        client.sendall(data)


def large_response_size(crowded: CrowdedServer) -> int:
    """Return how many bytes the head and the body of a large response have together."""
    with crowded.connect() as client:
        client.sendall(LARGE)
        head, body = receive(client)
    return len(head) + len(b"\r\n\r\n") + len(body)


def test_a_drain_under_load_completes_each_request_that_has_begun(
    crowded: CrowdedServer, token_request: bytes, record: Record
) -> None:
    with ExitStack() as stack:
        halves = [stack.enter_context(crowded.connect()) for _ in range(HALF_OPEN)]
        for number, client in enumerate(halves):
            client.sendall(HALVES[number % len(HALVES)][0])
        readers = [stack.enter_context(crowded.connect(receive_bytes=65536)) for _ in range(BUSY)]
        for client in readers:
            client.sendall(LARGE)
        busy = [stack.enter_context(RepeatingClient(crowded, token_request)) for _ in range(BUSY)]
        for each in busy:
            each.wait_for(SAMPLES // BUSY)
        crowded.server.signal(signal.SIGTERM)
        for each in busy:
            each.join()
            assert set(each.statuses) == {"200"}
        for number, client in enumerate(halves):
            _, rest, status = HALVES[number % len(HALVES)]
            client.sendall(rest)
            head, _ = receive(client)
            assert (status_of(head), b"\r\nConnection: close" in head) == (status, True)
        for client in readers:
            assert status_of(receive(client)[0]) == 200
        record("responses under load", sum(len(each.seconds) for each in busy))
        assert crowded.server.wait() == 0
