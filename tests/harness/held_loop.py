"""A server that measures for how long each request blocks its event loop, in CPU time.

This is the CPU time of the process in one iteration of the loop. It includes threads that hash,
since they may hold the interpreter lock. It includes neither the thread that sends nor any wait, so
that the load of the machine does not matter.
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

SECONDS = 60.0
_LAST = raw_request("GET", "/health/live", close=True)


class HeldLoop:
    """A server whose loop runs in a thread of its own and measures each of its iterations."""

    def __init__(self, application: Application, port: int) -> None:
        self._port = port
        self.application = application
        self._longest = 0.0
        self._clock_of_sender = time.pthread_getcpuclockid(threading.main_thread().ident or 0)
        self._turn_began = self._computed()
        self._is_watching = True

    def turn(self) -> None:
        """Record an iteration of the loop, and schedule the next one immediately."""
        now = self._computed()
        self._longest = max(self._longest, now - self._turn_began)
        self._turn_began = now
        if self._is_watching:
            asyncio.get_running_loop().call_soon(self.turn)

    def _computed(self) -> float:
        return time.process_time() - time.clock_gettime(self._clock_of_sender)

    def end(self) -> None:
        """Stop scheduling iterations."""
        self._is_watching = False

    def send(self, request: bytes) -> tuple[float, bytes]:
        """Send a request; return the longest iteration of the loop, and the response.

        Another request, which closes the connection, follows.
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
    except ConnectionError:  # the server may abort the connection of a malformed request
        return


@contextmanager
def watched_server(settings: Settings, dsn: str) -> Iterator[tuple[HeldLoop, ClientSecret]]:
    """Run a measured server in a thread; yield it, and the credentials of a service."""
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
            held = HeldLoop(application, await server.listen("127.0.0.1", 0))
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
    # The objects of pytest and its plug-ins would lengthen collections during the measurement.
    gc.collect()
    gc.freeze()
    try:
        yield held, client
    finally:
        gc.unfreeze()
        stop()
        thread.join(30)
