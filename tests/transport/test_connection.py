"""When an idle stream is closed."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

import pytest

from transport.connection import Stream


class PairStream(Stream):
    """A stream on one end of a socket pair, which has no option for Nagle's algorithm."""

    def set_nodelay(self, value: bool) -> None:  # noqa: FBT001 - Tornado's signature
        """Do nothing."""


@asynccontextmanager
async def stream_awaiting_head() -> AsyncIterator[tuple[PairStream, socket.socket]]:
    """Open a stream that awaits the head of a request; yield it, and the client's socket."""
    ours, theirs = socket.socketpair()
    stream = PairStream(ours)
    head = asyncio.ensure_future(stream.read_until_regex(b"\r\n\r\n"))
    await asyncio.sleep(0)
    try:
        yield stream, theirs
    finally:
        stream.close()
        theirs.close()
        await asyncio.gather(head, return_exceptions=True)


@pytest.mark.gen_test
async def test_an_unused_stream_is_closed() -> None:
    async with stream_awaiting_head() as (stream, _):
        stream.close_if_unused(accepted_before=0.0)
        assert not stream.closed()
        stream.close_if_unused(accepted_before=inf)
        assert stream.closed()


@pytest.mark.gen_test
async def test_a_stream_that_still_sends_is_not_closed_as_unused() -> None:
    async with stream_awaiting_head() as (stream, theirs):
        theirs.settimeout(0)
        sent = stream.write(b"x" * 4_000_000)
        stream.close_if_unused(accepted_before=inf)
        assert stream.writing()
        assert not stream.closed()
        loop = asyncio.get_running_loop()
        received = 0
        while received < 4_000_000:
            received += len(await loop.sock_recv(theirs, 1_000_000))
        await sent
        stream.close_if_unused(accepted_before=inf)
        assert stream.closed()


@pytest.mark.parametrize("is_buffered", [False, True])
@pytest.mark.gen_test
async def test_a_stream_that_received_part_of_a_head_is_not_closed_as_unused(
    is_buffered: bool,  # noqa: FBT001
) -> None:
    async with stream_awaiting_head() as (stream, theirs):
        theirs.sendall(b"GET /")
        if is_buffered:
            await asyncio.sleep(0.05)
        assert stream.has_unread_bytes() is not is_buffered
        stream.close_if_unused(accepted_before=inf)
        assert not stream.closed()
