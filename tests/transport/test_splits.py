"""Requests that arrive in parts get the same answers as those that arrive at once."""

import random
import re
from itertools import pairwise

import pytest

from tests.harness.memory_transport import EchoApplication, answer_in_parts
from tests.harness.raw_http import chunked, raw_request
from tests.harness.smuggling import CASES, HIDDEN

CHUNKED = "Transfer-Encoding: chunked"
VALID = {
    "no body": raw_request("GET", "/a?b=c", "Authorization: Bearer x", "Accept: */*"),
    "an empty line first": b"\r\n" + raw_request("GET", "/a"),
    "a body": raw_request("POST", "/a", body=b'{"name": "Susan"}\r\n\r\n'),
    "chunks": raw_request("POST", "/a", CHUNKED, body=chunked(b"one\r\n", b"\n\n", b"0\r\n\r\n")),
    "a trailer": raw_request("POST", "/a", CHUNKED, body=b"3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n"),
    "continue": raw_request("POST", "/a", "Expect: 100-continue", body=b"abc"),
    "a higher minor version": raw_request("GET", "/a", version="HTTP/1.2"),
    "a method of its own": raw_request("BREW", "/pot", body=b"tea"),
    "an upgrade": raw_request("POST", "/a", "Connection: upgrade", "Upgrade: h2c", body=b"abc"),
    "HTTP/1.0": raw_request("GET", "/a", "Connection: keep-alive", version="HTTP/1.0"),
    "too large": raw_request("POST", "/a", body=b"x" * 1_001),
    "too large chunks": raw_request("POST", "/a", CHUNKED, body=chunked(b"x" * 999, b"xx")),
    "close": raw_request("GET", "/a", close=True),
}
_DATE = re.compile(rb"\r\nDate: [^\r]+")
NEXT = raw_request("GET", "/next")
PIPELINE = b"".join(request for name, request in VALID.items() if not name.startswith("too"))


async def answers(parts: list[bytes]) -> tuple[bytes, bool]:
    application = EchoApplication()
    sent, closes = await answer_in_parts(application, parts)
    assert application.running == 0
    return _DATE.sub(b"", sent), closes


@pytest.mark.parametrize("name", [*VALID, *CASES])
@pytest.mark.gen_test
async def test_a_request_split_at_any_byte_gets_the_same_answer(name: str) -> None:
    request = (VALID.get(name) or CASES[name]) + NEXT
    expected = await answers([request])
    for place in range(1, _end(request)):
        assert await answers([request[:place], request[place:]]) == expected, place


def _end(request: bytes) -> int:
    """Return where what is hidden in a case has begun: from there it is a request like others."""
    hidden = request.find(HIDDEN[:20], 1)
    return len(request) if hidden < 0 else hidden + 20


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.gen_test
async def test_pipelined_requests_in_random_parts_get_the_same_answers(seed: int) -> None:
    expected = await answers([PIPELINE])
    assert expected[0].count(b"HTTP/1.1 200 OK") == len(VALID) - 2
    choice = random.Random(seed)  # noqa: S311 - the same parts in each run
    places = sorted(choice.sample(range(1, len(PIPELINE)), choice.randrange(1, 200)))
    parts = [PIPELINE[start:end] for start, end in pairwise([0, *places, len(PIPELINE)])]
    assert await answers(parts) == expected


@pytest.mark.parametrize("name", [*VALID, *CASES])
@pytest.mark.gen_test
async def test_a_request_that_arrives_byte_by_byte_gets_the_same_answer(name: str) -> None:
    request = (VALID.get(name) or CASES[name]) + NEXT
    assert await answers([bytes([byte]) for byte in request]) == await answers([request])


@pytest.mark.parametrize("start", ["GET /", "POST http://example.com/?"])
@pytest.mark.gen_test
async def test_a_request_line_that_is_too_long_is_431_in_parts_too(start: str) -> None:
    sent = f"{start}{'x' * 20_000} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    line = sent.index(b"\r\n")
    for place in (17_000, *range(line - 20, line + 3), len(sent)):
        answer, closes = await answer_in_parts(EchoApplication(), [sent[:place], sent[place:]])
        assert answer.startswith(b"HTTP/1.1 431 "), place
        assert closes
