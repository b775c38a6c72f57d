"""A server whose event loop is watched: how long each request holds it, in time of the processor.

Measured is what the process computes between two turns of the loop: threads that hash count, since
they may hold the interpreter, the one that sends does not, and neither does a wait, however loaded
the machine is.
"""

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from functools import partial

from handlers.application import Application
from ops.event_loop import EventLoop
from services.clients import ClientSecret
from settings import Settings
from tests.harness.clock import Clock
from tests.harness.configuration import KEY
from tests.harness.raw_http import raw_request
from transport.server import Server
from wiring.application import open_application

SECONDS = 10.0
_LAST = raw_request("GET", "/health/live", close=True)


class HeldLoop:
    """A server on a loop of its own thread, which counts how long each of its turns computes."""

    def __init__(self, application: Application, port: int) -> None:
        self._port = port
        self.application = application
        self._longest = 0.0
        self._clock_of_sender = time.pthread_getcpuclockid(threading.main_thread().ident or 0)
        self._turn_began = self._computed()
        self._is_watching = True

    def turn(self) -> None:
        """End a turn of the loop, and ask for the next one at once."""
        now = self._computed()
        self._longest = max(self._longest, now - self._turn_began)
        self._turn_began = now
        if self._is_watching:
            asyncio.get_running_loop().call_soon(self.turn)

    def _computed(self) -> float:
        return time.process_time() - time.clock_gettime(self._clock_of_sender)

    def end(self) -> None:
        """Let the loop wait again."""
        self._is_watching = False

    def send(self, request: bytes) -> tuple[float, bytes]:
        """Send a request; return the longest turn of the loop meanwhile, and what was answered.

        Another request, which ends the connection, is sent behind it.
        """
        with socket.create_connection(("127.0.0.1", self._port), SECONDS) as connection:
            self._longest = 0.0
            received = b"".join(_exchanged(connection, request + _LAST))
            return self._longest, received


def _exchanged(connection: socket.socket, request: bytes) -> Iterator[bytes]:
    try:
        connection.sendall(request)
        while data := connection.recv(65536):
            yield data
    except ConnectionError:  # what is no HTTP may be cut off
        return


@contextmanager
def watched_server(settings: Settings, dsn: str) -> Iterator[tuple[HeldLoop, ClientSecret]]:
    """Serve, watched, in a thread; yield the server, and the credentials of a service."""
    started: Future[tuple[HeldLoop, ClientSecret, Callable[[], object]]] = Future()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        async with AsyncExitStack() as stack:
            application = await stack.enter_async_context(
                open_application(settings, [KEY], dsn, Clock())
            )
            client = await application.services.clients.add("fuzz")
            server = Server(application, settings.limits)
            held = HeldLoop(application, server.listen("127.0.0.1", 0))
            held.turn()
            stop = partial(loop.call_soon_threadsafe, stopping.set)
            started.set_result((held, client, stop))
            await stopping.wait()
            held.end()
            await server.drain(drain_delay_seconds=0, drain_seconds=5)

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=EventLoop) as runner:
                runner.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    held, client, stop = started.result(60)
    # What pytest and its plug-ins hold is no part of a server, and is not collected meanwhile.
    gc.collect()
    gc.freeze()
    try:
        yield held, client
    finally:
        gc.unfreeze()
        stop()
        thread.join(30)
