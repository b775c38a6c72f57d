"""The event loop."""

import asyncio
import socket

from ops.event_loop import EventLoop

SENT = b"the end of a result"


def test_a_reader_is_called_until_all_of_a_broken_socket_is_read() -> None:
    received = bytearray()

    async def read() -> str:
        loop = asyncio.get_running_loop()
        broken: asyncio.Future[str] = loop.create_future()
        ours, theirs = socket.socketpair()
        ours.settimeout(0)

        def read_a_byte() -> None:
            try:
                received.extend(ours.recv(1))
            except ConnectionResetError as error:
                loop.remove_reader(ours)
                broken.set_result(type(error).__name__)

        ours.send(b"what the peer does not read")
        loop.add_reader(ours, read_a_byte)
        theirs.send(SENT)
        theirs.close()
        with ours:
            async with asyncio.timeout(30):
                return await broken

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        assert runner.run(read()) == "ConnectionResetError"
    assert received == SENT
