"""An address that leads to one Postgres, and later to another, as that of a proxy does."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit


class Switch:
    """Listens on 127.0.0.1, and forwards each new connection to the Postgres of a URL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Return the URL of the same database at this address."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        parts = urlsplit(self._url)
        return parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}").geturl()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def lead_to(self, url: str) -> None:
        """Forward new connections to another Postgres; the others stay where they are."""
        self._url = url

    def cut(self) -> None:
        """Abort the open connections, as HAProxy does with ``on-marked-down shutdown-sessions``."""
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._writers.add(writer)
        with suppress(ConnectionError):
            await self._forward(reader, writer)
        writer.transport.abort()
        self._writers.discard(writer)
        self._connections.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", urlsplit(self._url).port)
        copies = [
            asyncio.create_task(_copy(reader, ours)),
            asyncio.create_task(_copy(theirs, writer)),
        ]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, ours):
            each.transport.abort()
        await asyncio.gather(*copies)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while (data := await reader.read(65536)) and not writer.transport.is_closing():
            writer.write(data)
