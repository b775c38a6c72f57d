"""Clients that send or read a byte a second, and many that send half a request."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from handlers.application import Application
from tests.harness.api import Api
from tests.harness.configuration import override_settings
from tests.harness.memory_transport import (
    EchoApplication,
    MemoryTransport,
    new_connection,
    until_quiet,
)
from tests.harness.raw_http import JSON, connected, raw_request, read_to_end
from transport.base_connection import Timeouts
from transport.connection import Connection

TIMEOUTS = Timeouts(first_request=10, idle=20, body=5)
LIVE = raw_request("GET", "/health/live")
BODY = raw_request("POST", "/", body=b"x" * 900)
HALF_OPEN = 300


async def connection_after(
    before: bytes,
) -> tuple[EchoApplication, Connection, MemoryTransport, float]:
    """Serve requests on a new connection; return it between its ends, and since when it is idle."""
    application = EchoApplication()
    connection, transport = new_connection(application)
    connection.data_received(before)
    await until_quiet(application)
    since = connection.idle_since
    assert since is not None
    return application, connection, transport, since


@pytest.mark.parametrize(("before", "seconds"), [(b"", 10), (LIVE, 20)], ids=["first", "second"])
@pytest.mark.gen_test
async def test_a_head_of_a_byte_a_second_is_disconnected_after_its_time(
    before: bytes, seconds: int
) -> None:
    _, connection, transport, since = await connection_after(before)
    for second in range(seconds + 1):
        assert not transport.is_closing()
        connection.data_received(LIVE[second : second + 1])
        connection.close_if_overdue(TIMEOUTS, since + second)
    connection.close_if_overdue(TIMEOUTS, since + seconds + 1)
    assert transport.is_closing()


@pytest.mark.gen_test
async def test_a_body_of_a_byte_a_second_is_408_after_its_time() -> None:
    application, connection, transport, since = await connection_after(b"")
    head, _, body = BODY.partition(b"\r\n\r\n")
    connection.data_received(head + b"\r\n\r\n")
    for second in range(int(TIMEOUTS.body)):
        connection.data_received(body[second : second + 1])
        connection.close_if_overdue(TIMEOUTS, since + second)
    assert transport.sent == b""
    connection.close_if_overdue(TIMEOUTS, since + TIMEOUTS.body + 1)
    await until_quiet(application)
    assert transport.sent.startswith(b"HTTP/1.1 408 ")
    assert transport.has_ended


@pytest.mark.gen_test
async def test_a_client_that_reads_a_byte_a_second_gets_its_response() -> None:
    _, connection, transport, now = await connection_after(LIVE)
    for unsent in range(200, 0, -1):
        transport.unsent = unsent
        now += 1
        connection.close_if_overdue(TIMEOUTS, now)
    assert not transport.is_closing()
    for _ in range(int(TIMEOUTS.idle) + 2):
        now += 1
        connection.close_if_overdue(TIMEOUTS, now)
    assert transport.is_closing()


@override_settings(LIMITS__FIRST_REQUEST_SECONDS=1.0, LIMITS__BODY_TIMEOUT_SECONDS=1.0)
@pytest.mark.gen_test
async def test_hundreds_of_half_requests_delay_no_other_client_and_are_disconnected(
    api: Api, app: Application
) -> None:
    half_body = raw_request("POST", "/api/user/register", JSON, "Content-Length: 99", body=b"{")
    async with AsyncExitStack() as stack:
        readers = []
        for number in range(HALF_OPEN):
            reader, writer = await stack.enter_async_context(connected(api))
            # Now: the time for it begins with the connection.
            writer.write(half_body if number % 2 else LIVE[:-2])
            readers.append(reader)
        assert (await api.request("GET", "/health/live")).status == 200
        received = await asyncio.gather(*(read_to_end(reader) for reader in readers))
    assert [data[:12] for data in received] == [b"", b"HTTP/1.1 408"] * (HALF_OPEN // 2)
    assert app.running == 0


@pytest.mark.gen_test
async def test_a_body_is_408_after_its_time_although_the_client_reads_an_earlier_response() -> None:
    application, connection, transport, since = await connection_after(LIVE)
    connection.data_received(BODY[:-1])
    for second in range(int(TIMEOUTS.body) + 2):
        transport.unsent = 60_000 - second
        connection.close_if_overdue(TIMEOUTS, since + second)
    await until_quiet(application)
    assert b"HTTP/1.1 408 " in transport.sent
    connection.connection_lost(None)


@pytest.mark.gen_test
async def test_the_rest_of_a_response_is_sent_although_a_body_that_ended_is_overdue() -> None:
    application, connection, transport, since = await connection_after(LIVE)
    connection.data_received(BODY[:-1])
    transport.unsent = 60_000
    transport.close()
    sent = bytes(transport.sent)
    for second in range(2 * int(TIMEOUTS.body)):
        transport.unsent -= 1
        connection.close_if_overdue(TIMEOUTS, since + second)
    await until_quiet(application)
    assert transport.sent == sent
    connection.connection_lost(None)
