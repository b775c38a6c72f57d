"""A lean HTTP/1.1 client: one request at a time on a kept-alive connection, always bounded."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HANG_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; ``fault`` says what is wrong with its form."""

    status: int
    document: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """No whole answer; ``sent`` tells whether the request may have arrived."""

    reason: str
    sent: bool
    hung: bool = False


class Link:
    """A connection to whatever port it is asked to use."""

    def __init__(self) -> None:
        self._port = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, port: int, request: bytes) -> Answer | Silence:
        """Send a request and return its answer."""
        sent = False
        try:
            async with asyncio.timeout(HANG_SECONDS):
                reader, writer = await self._open(port)
                writer.write(request)
                sent = True
                return await self._read(reader)
        except TimeoutError:
            self.close()
            return Silence(f"no answer within {HANG_SECONDS:.0f} s", sent=sent, hung=True)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            return Silence(type(error).__name__, sent=sent)

    async def hang_up(self, port: int, request: bytes, seconds: float) -> Silence:
        """Send a request, or half of one, and go away without listening."""
        try:
            async with asyncio.timeout(HANG_SECONDS):
                _, writer = await self._open(port)
                writer.write(request)
                await asyncio.sleep(seconds)
        except (OSError, TimeoutError):
            return Silence("not connected", sent=False)
        finally:
            self.close()
        return Silence("hung up", sent=True)

    def close(self) -> None:
        """Break the connection."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _open(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = self._reader, self._writer
        if reader is None or writer is None or port != self._port or reader.at_eof():
            self.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            self._reader, self._writer, self._port = reader, writer, port
        return reader, writer

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            start, *lines = head[:-4].split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            body = await reader.readexactly(int(headers["content-length"]))
            status = int(start.split(" ")[1])
            document = json.loads(body)
        except (ValueError, KeyError, IndexError, asyncio.LimitOverrunError) as error:
            self.close()
            return Answer(0, fault=f"malformed answer ({error!r})")
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, document, _form_fault(status, headers, document))


def _form_fault(status: int, headers: Mapping[str, str], document: object) -> str:
    if not isinstance(document, dict):
        return "the body is no object"
    media_type = "application/json" if status < 400 else "application/problem+json"
    wrong = [
        (not headers.get("content-type", "").startswith(media_type), f"no {media_type}"),
        (headers.get("cache-control") != "no-store", "no Cache-Control: no-store"),
        ("x-request-id" not in headers, "no X-Request-ID"),
        (status >= 400 and document.get("status") != status, "another status in the body"),
        (status == 401 and "www-authenticate" not in headers, "no WWW-Authenticate"),
        (status == 422 and not document.get("errors"), "no errors"),
        (
            status in {429, 503} and not headers.get("retry-after", "").isdecimal(),
            "no Retry-After",
        ),
    ]
    return ", ".join(text for is_wrong, text in wrong if is_wrong)
