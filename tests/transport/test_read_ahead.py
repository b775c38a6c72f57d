"""How much of further requests is read while one runs."""

import asyncio
import socket
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest

from tests.harness.certificates import make_certificate
from tests.harness.memory_transport import (
    EchoApplication,
    EchoHandler,
    new_connection,
    until_quiet,
)
from tests.harness.raw_http import raw_request
from transport.certificate import Certificate
from transport.connection import Connection
from transport.connection_limits import OpenConnections
from transport.tls import TlsTransport

MAX_BYTES = 128 * 1024
REQUEST = raw_request("GET", "/")
COUNT = 20_000


class HeldApplication(EchoApplication):
    """An application that responds once a test allows it."""

    def __init__(self, max_body_bytes: int = 1_000) -> None:
        super().__init__(max_body_bytes)
        self.may_respond = asyncio.Event()

    def delegate_of(self, request: HTTPServerRequest) -> HTTPMessageDelegate:
        """Return the delegate that runs the handler of a request."""
        return self.get_handler_delegate(request, HeldHandler)


class HeldHandler(EchoHandler):
    application: HeldApplication

    async def prepare(self) -> None:  # type: ignore[override]
        await self.application.may_respond.wait()
        super().prepare()


class CountingConnection(Connection):
    """A connection that counts what it receives."""

    received = 0

    def data_received(self, data: "bytes | memoryview[int]") -> None:
        """Count, and receive."""
        self.received += len(data)
        super().data_received(data)


@pytest.mark.gen_test
async def test_what_is_read_ahead_of_a_response_is_bounded_and_served_later() -> None:
    application = HeldApplication()
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    connections = OpenConnections(max_total=9, max_per_network=0, is_trusted=lambda _: False)
    connection = CountingConnection(application, connections, protocol="http")
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += theirs.send(REQUEST * 1_000)
    assert sent > MAX_BYTES
    await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
    for _ in range(50):
        await asyncio.sleep(0)
    assert 0 < connection.received <= MAX_BYTES
    application.may_respond.set()
    while connection.received < sent:
        with suppress(BlockingIOError):
            theirs.recv(1_000_000)
        await asyncio.sleep(0)
    connection.transport.abort()
    theirs.close()


@pytest.mark.gen_test
async def test_the_rest_of_a_body_that_was_read_ahead_in_part_is_read_after_the_response() -> None:
    application = HeldApplication(max_body_bytes=MAX_BYTES)
    connection, transport = new_connection(application)
    connection.data_received(REQUEST)
    request = raw_request("POST", "/", body=b"x" * MAX_BYTES)
    connection.data_received(request[:-1])
    assert not transport.is_reading()
    application.may_respond.set()
    await until_quiet(application)
    assert transport.is_reading()
    connection.data_received(request[-1:])
    await until_quiet(application)
    assert transport.sent.count(b"HTTP/1.1 200 ") == 2
    connection.connection_lost(None)


@pytest.mark.needs("openssl")
@pytest.mark.gen_test
async def test_one_read_is_bounded_with_and_without_tls(tmp_path: Path) -> None:
    connection, _ = new_connection(EchoApplication())
    certificate = Certificate(*make_certificate(tmp_path / "tls"))
    secure = TlsTransport(certificate.context, connection)
    for receiver in (connection, secure):
        # An instance of asyncio.Protocol would receive from the large buffer of uvloop.
        assert not isinstance(receiver, asyncio.Protocol)
        assert len(receiver.get_buffer(256_000)) == MAX_BYTES / 2


@pytest.mark.gen_test
async def test_a_client_that_resumes_to_read_cannot_send_more_ahead() -> None:
    application = HeldApplication()
    connection, transport = new_connection(application)
    connection.data_received(REQUEST)
    connection.data_received(REQUEST * 3_000)
    assert not transport.is_reading()
    connection.pause_writing()
    connection.resume_writing()
    assert not transport.is_reading()
    application.may_respond.set()
    while transport.sent.count(b"HTTP/1.1 200 ") <= 3_000:
        await asyncio.sleep(0)
    assert transport.is_reading()
    connection.connection_lost(None)


@pytest.mark.gen_test
async def test_the_next_request_is_read_after_many_empty_lines() -> None:
    application = HeldApplication()
    connection, transport = new_connection(application)
    connection.data_received(REQUEST)
    connection.data_received(b"\r\n" * MAX_BYTES)
    assert not transport.is_reading()
    application.may_respond.set()
    await until_quiet(application)
    assert transport.is_reading()
    connection.connection_lost(None)


@pytest.mark.gen_test
async def test_a_body_that_arrives_in_bytes_takes_no_more_memory_than_its_size() -> None:
    size = 64 * 1024
    connection, _ = new_connection(EchoApplication(max_body_bytes=size))
    connection.data_received(raw_request("POST", "/", f"Content-Length: {size}"))
    tracemalloc.start()
    try:
        for _ in range(size - 1):
            connection.data_received(b"x")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * size
    connection.connection_lost(None)
