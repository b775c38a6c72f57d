"""A proxy to Postgres in the test's own loop, which can refuse connections or stop forwarding."""

import asyncio
from urllib.parse import parse_qs, quote, urlsplit

from tests.harness.memory_directory import new_socket_directory
from tests.harness.waiting import until

_SOCKET = ".s.PGSQL.5432"


class Gate:
    """A Unix socket that forwards to the one in a DSN."""

    def __init__(self, dsn: str) -> None:
        self._postgres = f"{parse_qs(urlsplit(dsn).query)['host'][0]}/{_SOCKET}"
        self._folder = new_socket_directory()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self.dsn = f"postgresql://userauth@/postgres?host={quote(self._folder.name, safe='')}"

    async def open(self) -> None:
        """Accept connections and forward everything."""
        self._flows.set()
        path = f"{self._folder.name}/{_SOCKET}"
        self._server = await asyncio.start_unix_server(self._serve, path)

    async def shut(self) -> None:
        """Refuse connections, and abort the open ones."""
        if self._server is not None:
            self._server.close()
        for writer in self._connections:
            writer.transport.abort()
        self._flows.set()
        await until(lambda: not self._connections)

    def silence(self) -> None:
        """Accept connections, but forward nothing."""
        self._flows.clear()

    async def remove(self) -> None:
        await self.shut()
        self._folder.cleanup()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_unix_connection(self._postgres)
        pair = {writer, ours}
        self._connections |= pair
        copies = [
            asyncio.create_task(self._copy(reader, ours)),
            asyncio.create_task(self._copy(theirs, writer)),
        ]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for open_writer in pair:
            open_writer.transport.abort()
        await asyncio.gather(*copies)
        self._connections -= pair

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flows.wait()
                if writer.transport.is_closing():
                    return
                writer.write(data)
        except ConnectionError:
            return
