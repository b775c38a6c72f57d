"""When a connection is closed because it is idle, stuck or unused."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

import pytest

from tests.harness.memory_transport import MemoryTransport
from transport.base_connection import BaseConnection, Timeouts
from transport.connection_limits import OpenConnections

RESET_AT_CLOSE = struct.pack("ii", 1, 0)
TIMEOUTS = Timeouts(first_request=10, idle=20, body=5)


class ReceivingConnection(BaseConnection):
    """A connection that keeps what it receives."""

    def data_received(self, data: "bytes | memoryview[int]") -> None:
        self._received += data

    def write(self, data: bytes) -> None:
        self._write(data)


@asynccontextmanager
async def connection_awaiting_head() -> AsyncIterator[tuple[ReceivingConnection, socket.socket]]:
    """Open a connection that awaits the head of a request; yield it, and the client's socket."""
    ours, theirs = socket.socketpair()
    connections = OpenConnections(max_total=9, max_per_network=0, is_trusted=lambda _: False)
    connection = ReceivingConnection(connections)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
    theirs.settimeout(0)
    try:
        yield connection, theirs
    finally:
        connection.transport.abort()
        theirs.close()


def is_closing(connection: BaseConnection) -> bool:
    return connection.transport.is_closing()


async def receive(theirs: socket.socket, size: int) -> None:
    loop = asyncio.get_running_loop()
    while size:
        size -= len(await loop.sock_recv(theirs, size))


async def read_until_more_is_sent(connection: BaseConnection, theirs: socket.socket) -> None:
    before = connection.transport.get_write_buffer_size()
    while connection.transport.get_write_buffer_size() == before:
        await receive(theirs, 65536)


@pytest.mark.gen_test
async def test_an_unused_connection_is_closed() -> None:
    async with connection_awaiting_head() as (connection, _):
        connection.close_if_unused(accepted_before=0.0)
        assert not is_closing(connection)
        connection.close_if_unused(accepted_before=inf)
        assert is_closing(connection)


@pytest.mark.gen_test
async def test_a_connection_that_still_sends_is_not_closed_as_unused() -> None:
    async with connection_awaiting_head() as (connection, theirs):
        connection.transport.write(b"x" * 4_000_000)
        connection.close_if_unused(accepted_before=inf)
        assert not is_closing(connection)
        await receive(theirs, 4_000_000)
        while connection.transport.get_write_buffer_size():
            await asyncio.sleep(0)
        connection.close_if_unused(accepted_before=inf)
        assert is_closing(connection)


@pytest.mark.parametrize("is_buffered", [False, True])
@pytest.mark.gen_test
async def test_a_connection_that_received_part_of_a_head_is_not_closed_as_unused(
    is_buffered: bool,  # noqa: FBT001
) -> None:
    async with connection_awaiting_head() as (connection, theirs):
        theirs.send(b"GET /")
        while is_buffered and connection.has_unread_bytes():
            await asyncio.sleep(0)
        assert connection.has_unread_bytes() is not is_buffered
        connection.close_if_unused(accepted_before=inf)
        assert not is_closing(connection)


@pytest.mark.gen_test
async def test_a_client_that_sends_nothing_has_the_time_of_a_first_request() -> None:
    async with connection_awaiting_head() as (connection, _):
        since = connection.idle_since
        assert since is not None
        connection.close_if_overdue(TIMEOUTS, since + 10)
        assert not is_closing(connection)
        connection.close_if_overdue(TIMEOUTS, since + 10.1)
        assert is_closing(connection)


@pytest.mark.gen_test
async def test_a_client_that_reads_slowly_is_not_stuck_and_one_that_stops_is() -> None:
    async with connection_awaiting_head() as (connection, theirs):
        connection.write(b"x" * 8_000_000)
        now = 1_000.0
        for _ in range(5):
            now += 19
            await read_until_more_is_sent(connection, theirs)
            connection.close_if_overdue(TIMEOUTS, now)
        assert not is_closing(connection)
        connection.close_if_overdue(TIMEOUTS, now + 20)
        assert not is_closing(connection)
        connection.close_if_overdue(TIMEOUTS, now + 21)
        assert is_closing(connection)


@pytest.mark.gen_test
async def test_a_client_that_reads_while_more_is_written_is_not_stuck() -> None:
    async with connection_awaiting_head() as (connection, theirs):
        connection.write(b"x" * 8_000_000)
        now = 1_000.0
        connection.close_if_overdue(TIMEOUTS, now)
        for _ in range(5):
            now += 19
            await read_until_more_is_sent(connection, theirs)
            connection.write(b"x" * 8_000_000)
            connection.close_if_overdue(TIMEOUTS, now)
        assert not is_closing(connection)
        for _ in range(2):
            now += 20.1
            connection.write(b"x" * 8_000_000)
            connection.close_if_overdue(TIMEOUTS, now)
        assert is_closing(connection)


@pytest.mark.gen_test
async def test_a_client_that_does_not_read_its_responses_makes_room_for_a_new_one() -> None:
    connections = OpenConnections(max_total=1, max_per_network=0, is_trusted=lambda _: False)
    connection = ReceivingConnection(connections)
    ours, theirs = socket.socketpair()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
    connection.write(b"x" * 8_000_000)
    theirs.settimeout(0)
    theirs.send(b"GET / HTTP/1.1\r\n")
    assert connection.transport.get_write_buffer_size()
    assert connections.make_room(None)
    assert is_closing(connection)
    theirs.close()


class FullTransport(MemoryTransport):
    """A transport that has no room for the alert that it sends when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def close(self) -> None:
        super().close()
        self.unsent = 24

    def abort(self) -> None:
        self.is_aborted = True


def test_a_connection_that_cannot_end_tls_is_aborted_when_it_is_closed() -> None:
    connections = OpenConnections(max_total=1, max_per_network=0, is_trusted=lambda _: False)
    connection, transport = ReceivingConnection(connections), FullTransport()
    connection.connection_made(transport)
    connection.close()
    assert transport.is_aborted


@pytest.mark.gen_test
async def test_a_client_that_has_reset_its_connection_is_not_served() -> None:
    connections = OpenConnections(max_total=9, max_per_network=0, is_trusted=lambda _: False)
    loop = asyncio.get_running_loop()
    made: asyncio.Future[BaseConnection] = loop.create_future()

    class AcceptedConnection(ReceivingConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            made.set_result(self)

    async with await loop.create_server(
        lambda: AcceptedConnection(connections), "127.0.0.1", 0
    ) as server:
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.send(b"x")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        connection = await made
        assert connection.is_lost
        assert len(connections) == 0
