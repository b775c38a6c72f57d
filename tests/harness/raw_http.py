"""Bytes on a socket, for what no client library sends; every wait for the server is bounded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tornado.httputil import HTTPHeaders

from tests.harness.api import Answer, Api, check_invariants

SECONDS = 20.0
JSON = "Content-Type: application/json"
_FRAMING = ("content-length", "transfer-encoding")
# The status and the problem type of a request that HTTP forbids.
MALFORMED = (400, "malformed-request")
# The whole response to bytes that are not HTTP.
_BARE_400 = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def raw_request(
    method: str,
    path: str,
    *headers: str,
    body: bytes = b"",
    version: str = "HTTP/1.1",
    close: bool = False,
) -> bytes:
    """Return a request as bytes on the wire, with text in UTF-8.

    Content-Length is added where there is a body and no header says how long it is. The
    connection is kept alive, unlike those of tests.harness.api, whose client closes each.
    """
    lines = [f"{method} {path} {version}", "Host: example.com", *headers]
    if close:
        lines.append("Connection: close")
    if body and not any(header.lower().startswith(_FRAMING) for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


_LAST = raw_request("GET", "/health/live", close=True)


def chunked(*chunks: bytes) -> bytes:
    """Return a body in the chunked transfer coding."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


@asynccontextmanager
async def connected(
    api: Api,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to the server; the whole block must end within SECONDS."""
    address = urlsplit(api.url)
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def exchange(api: Api, sent: bytes, *, then_end: bool = False) -> bytes:
    """Send bytes and return what comes back until the server closes the connection."""
    async with connected(api) as (reader, writer):
        writer.write(sent)
        if then_end:
            writer.write_eof()
        return await read_to_end(reader)


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the connection is closed, or reset."""
    received = bytearray()
    try:
        while data := await reader.read(65536):
            received += data
    except ConnectionResetError:
        return bytes(received)
    return bytes(received)


async def answers_to(api: Api, sent: bytes, methods: Sequence[str] = ("GET",)) -> list[Answer]:
    """Send requests of these methods; return one checked answer for each, in their order."""
    rest = await exchange(api, sent)
    answers = []
    for method in methods:
        answer, rest = parse_answer(rest, method)
        check_invariants(answer, method=method)
        answers.append(answer)
    assert rest == b"", rest
    return answers


async def answer_to(api: Api, sent: bytes) -> Answer:
    """Send one request; return the one answer, checked.

    Another request follows, so that anything sent besides the answer is noticed.
    """
    method = sent.partition(b" ")[0].decode()
    answer, rest = parse_answer(await exchange(api, sent + _LAST), method)
    check_invariants(answer, method=method)
    if answer.headers.get("Connection") != "close" and b" HTTP/1.0\r\n" not in sent:
        last, rest = parse_answer(rest, "GET")
        assert last.status == 200
    assert rest == b"", rest
    return answer


def parse_answer(received: bytes, method: str) -> tuple[Answer, bytes]:
    """Return the first answer in what was received, and what follows it."""
    head, end, rest = received.partition(b"\r\n\r\n")
    assert end, received
    start_line, _, fields = head.decode("latin1").partition("\r\n")
    version, status = start_line.split(" ")[:2]
    assert version == "HTTP/1.1"
    headers = HTTPHeaders.parse(fields)
    length = 0 if method == "HEAD" else int(headers.get("Content-Length", "0"))
    assert len(rest) >= length
    return Answer(int(status), headers, rest[:length]), rest[length:]


async def expect_refusal(api: Api, sent: bytes, refusal: tuple[int, str]) -> None:
    """Send what is refused: one response with this status and problem type, and the server runs."""
    answer, rest = parse_answer(await exchange(api, sent), "GET")
    check_invariants(answer, method="GET")
    assert (answer.status, answer.problem) == refusal
    assert answer.headers["Connection"] == "close"
    assert rest == b"", rest
    await expect_running(api)


async def expect_bare_refusal(api: Api, sent: bytes) -> None:
    """Send what is not HTTP: one response of 400 without a document, and the server runs."""
    assert await exchange(api, sent) == _BARE_400
    await expect_running(api)


async def expect_running(api: Api) -> None:
    """Assert that the server responds to a request on another connection."""
    assert (await api.request("GET", "/health/live")).status == 200
