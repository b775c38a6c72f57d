"""A TCP proxy to the Unix socket of Postgres, which can be closed and opened again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from tests.harness.waiting import until


class Proxy:
    """Listens on 127.0.0.1 and forwards to the socket in a DSN."""

    def __init__(self, dsn: str) -> None:
        self._folder = parse_qs(urlsplit(dsn).query)["host"][0]
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        # While it is not set, the proxy forwards nothing, and keeps the connections open.
        self.flows = asyncio.Event()
        self.flows.set()
        # The seconds between the first answer of Postgres on a connection and the next one.
        self.first_pause = 0.0

    @property
    def url(self) -> str:
        return f"postgresql://userauth@127.0.0.1:{self.port}/postgres"

    async def open(self) -> None:
        """Accept connections, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections, and keep the open ones."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Refuse connections, and abort the open ones."""
        await self.refuse()
        for writer in list(self._writers):
            writer.transport.abort()
        await until(lambda: not self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs = await asyncio.open_unix_connection(f"{self._folder}/.s.PGSQL.5432")
        with self._open(writer), self._open(theirs[1]):
            await asyncio.wait(
                [
                    asyncio.create_task(self._copy(reader, theirs[1])),
                    asyncio.create_task(self._copy(theirs[0], writer, self.first_pause)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause: float = 0.0
    ) -> None:
        try:
            while data := await reader.read(65536):
                await self.flows.wait()
                writer.write(data)
                await asyncio.sleep(pause)
                pause = 0.0
        except ConnectionError:
            return

    @contextmanager
    def _open(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
