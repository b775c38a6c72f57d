"""After the last response a connection lingers: what the client still sends resets nothing."""

import asyncio
import socket
from math import inf
from urllib.parse import urlsplit

import pytest

from tests.harness.api import Api
from tests.harness.memory_transport import (
    EchoApplication,
    MemoryTransport,
    new_connection,
    until_quiet,
)
from tests.harness.raw_http import raw_request
from transport import base_connection
from transport.base_connection import LINGER_SECONDS, Timeouts
from transport.connection import Connection
from transport.connection_limits import OpenConnections

LAST = raw_request("GET", "/", close=True)
TIMEOUTS = Timeouts(first_request=10, idle=20, body=5)
# Last requests, each with the end of its response.
ENDS = {
    "close": (raw_request("GET", "/health/live", close=True), b"}\n"),
    "HTTP/1.0": (raw_request("GET", "/health/live", version="HTTP/1.0"), b"}\n"),
    "not HTTP": (b"hello\r\n\r\n", b"\r\n\r\n"),
    "rejected": (raw_request("GET", "/", "Transfer-Encoding: gzip, chunked"), b"}\n"),
}


async def lingering() -> tuple[Connection, MemoryTransport, float]:
    """Return a connection after its last response, its transport, and the time of the response."""
    application = EchoApplication()
    connection, transport = new_connection(application)
    connection.data_received(LAST)
    await until_quiet(application)
    assert transport.has_ended
    assert not transport.is_closing()
    since = connection.idle_since
    assert since is not None
    return connection, transport, since


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.gen_test
async def test_bytes_after_the_last_response_do_not_reset_the_connection(
    api: Api, name: str
) -> None:
    loop, address = asyncio.get_running_loop(), urlsplit(api.url)
    request, end = ENDS[name]
    with socket.socket() as client:
        client.settimeout(0)
        await loop.sock_connect(client, (address.hostname, address.port))
        await loop.sock_sendall(client, request)
        received = b""
        while not received.endswith(end):
            received += await loop.sock_recv(client, 65536)
        for _ in range(5):
            await loop.sock_sendall(client, b"x" * 1_000)
            await asyncio.sleep(0)
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert await loop.sock_recv(client, 1) == b""


@pytest.mark.gen_test
async def test_a_client_that_does_not_close_is_disconnected_after_a_time() -> None:
    connection, transport, since = await lingering()
    connection.data_received(b"x")
    connection.close_if_overdue(TIMEOUTS, since + LINGER_SECONDS)
    assert not transport.is_closing()
    connection.close_if_overdue(TIMEOUTS, since + LINGER_SECONDS + 0.1)
    assert transport.is_closing()


@pytest.mark.gen_test
async def test_the_time_begins_when_the_client_has_read_the_response() -> None:
    connection, transport, since = await lingering()
    for unsent in range(9, 0, -1):
        transport.unsent = unsent
        since += TIMEOUTS.idle
        connection.close_if_overdue(TIMEOUTS, since)
    transport.unsent = 0
    connection.close_if_overdue(TIMEOUTS, since + LINGER_SECONDS)
    assert not transport.is_closing()
    connection.close_if_overdue(TIMEOUTS, since + LINGER_SECONDS + 0.1)
    assert transport.is_closing()


@pytest.mark.gen_test
async def test_a_client_that_sends_without_end_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(base_connection, "LINGER_BYTES", 1_000)
    connection, transport, _ = await lingering()
    connection.data_received(b"x" * 999)
    assert not transport.is_closing()
    connection.data_received(b"x")
    assert transport.is_closing()


@pytest.mark.gen_test
async def test_a_drain_leaves_a_connection_that_lingers_its_time() -> None:
    connection, transport, _ = await lingering()
    connection.close_if_unused(accepted_before=inf)
    assert not transport.is_closing()


@pytest.mark.gen_test
async def test_a_connection_that_lingers_makes_room_for_a_new_one() -> None:
    connections = OpenConnections(max_total=1, max_per_network=0, is_trusted=lambda _: False)
    application = EchoApplication()
    first, second = (Connection(application, connections, protocol="http") for _ in range(2))
    old, new = MemoryTransport(), MemoryTransport()
    first.connection_made(old)
    first.data_received(LAST)
    await until_quiet(application)
    second.connection_made(new)
    assert old.is_closing()
    assert not new.is_closing()
    second.data_received(LAST)
    await until_quiet(application)
    assert new.sent.startswith(b"HTTP/1.1 200 ")
