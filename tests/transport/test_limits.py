"""The size limits of bodies and headers."""

import asyncio

import pytest

from tests.harness.api import PASSWORD, Api
from tests.harness.raw_http import (
    JSON,
    SECONDS,
    answer_to,
    answers_to,
    chunked,
    connected,
    exchange,
    expect_bare_refusal,
    expect_refusal,
    expect_running,
    parse_answer,
    raw_request,
    read_to_end,
)
from tests.harness.sql import run_sql

REGISTER = "/api/user/register"
LIMIT = 64 * 1024
HEAD_LIMIT = 16 * 1024
CHUNKED = "Transfer-Encoding: chunked"
EXPECT = "Expect: 100-continue"
AT_ONCE = 10.0  # less than the time limit of a body


def registration(size: int) -> bytes:
    """Return a valid registration of a size in bytes."""
    body = f'{{"email": "susan@example.com", "password": "{PASSWORD}"}}'.encode()
    return body + b" " * (size - len(body))


def in_chunks(body: bytes, size: int) -> bytes:
    return chunked(*(body[start : start + size] for start in range(0, len(body), size)))


async def expect_too_large(api: Api, request: bytes) -> None:
    answer = await answer_to(api, request)
    assert (answer.status, answer.problem) == (413, "content-too-large")
    assert answer.headers["Connection"] == "close"
    assert str(LIMIT) in answer.json["detail"]
    await expect_running(api)


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
@pytest.mark.gen_test
async def test_a_body_up_to_the_limit_is_accepted(api: Api, size: int) -> None:
    answer = await answer_to(api, raw_request("POST", REGISTER, JSON, body=registration(size)))
    assert answer.status == 201


@pytest.mark.parametrize("size", [1000, 30_000, LIMIT])
@pytest.mark.gen_test
async def test_a_chunked_body_up_to_the_limit_is_accepted(api: Api, size: int) -> None:
    body = in_chunks(registration(LIMIT), size)
    answer = await answer_to(api, raw_request("POST", REGISTER, JSON, CHUNKED, body=body))
    assert answer.status == 201


@pytest.mark.parametrize("size", [LIMIT + 1, 500_000])
@pytest.mark.gen_test
async def test_a_body_over_the_limit_is_413(api: Api, dsn: str, size: int) -> None:
    await expect_too_large(api, raw_request("POST", REGISTER, JSON, body=registration(size)))
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("size", [1000, 30_000, LIMIT + 1])
@pytest.mark.gen_test
async def test_a_chunked_body_over_the_limit_is_413(api: Api, dsn: str, size: int) -> None:
    body = in_chunks(registration(LIMIT + 1), size)
    await expect_too_large(api, raw_request("POST", REGISTER, JSON, CHUNKED, body=body))
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("length", ["65537", "9999999999", "4611686018427387904", "9" * 30])
@pytest.mark.gen_test
async def test_too_large_a_content_length_is_refused_before_the_body_arrives(
    api: Api, length: str
) -> None:
    async with connected(api) as (reader, writer):
        writer.write(raw_request("POST", REGISTER, JSON, f"Content-Length: {length}"))
        async with asyncio.timeout(AT_ONCE):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("length", ["4611686018427387905", "9" * 30])
@pytest.mark.gen_test
async def test_a_request_gets_one_response_however_large_its_content_length(
    api: Api, length: str
) -> None:
    await expect_too_large(api, raw_request("POST", REGISTER, JSON, f"Content-Length: {length}"))


@pytest.mark.parametrize("digits", [4300, 4301, 10_000])
@pytest.mark.gen_test
async def test_a_content_length_of_thousands_of_digits_is_413(api: Api, digits: int) -> None:
    length = "9" * digits
    await expect_too_large(api, raw_request("POST", REGISTER, JSON, f"Content-Length: {length}"))


@pytest.mark.gen_test
async def test_a_chunked_body_is_refused_before_its_end(api: Api) -> None:
    async with connected(api) as (reader, writer):
        body = chunked(b"x" * (LIMIT + 1))[:-5]
        writer.write(raw_request("POST", REGISTER, JSON, CHUNKED, body=body))
        async with asyncio.timeout(AT_ONCE):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413 ")


@pytest.mark.gen_test
async def test_a_client_that_never_sends_its_body_is_disconnected(api: Api) -> None:
    received = await exchange(api, raw_request("POST", REGISTER, JSON, "Content-Length: 70000"))
    assert parse_answer(received, "POST")[0].status == 413


@pytest.mark.gen_test
async def test_a_request_after_too_large_a_body_never_runs(api: Api, dsn: str) -> None:
    hidden = raw_request("POST", REGISTER, JSON, body=registration(100))
    sent = raw_request("POST", REGISTER, JSON, body=b"x" * 70_000) + hidden
    [answer] = await answers_to(api, sent, ["POST"])
    assert answer.status == 413
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("expectation", [EXPECT, "Expect: 100-Continue", "expect: 100-CONTINUE"])
@pytest.mark.gen_test
async def test_a_client_that_expects_100_continue_gets_it(api: Api, expectation: str) -> None:
    body = registration(100)
    async with connected(api) as (reader, writer):
        writer.write(
            raw_request(
                "POST", REGISTER, JSON, expectation, f"Content-Length: {len(body)}", close=True
            )
        )
        async with asyncio.timeout(AT_ONCE):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        answer, rest = parse_answer(await read_to_end(reader), "POST")
        assert (answer.status, rest) == (201, b"")


@pytest.mark.gen_test
async def test_a_client_that_expects_100_continue_for_too_large_a_body_is_refused_at_once(
    api: Api,
) -> None:
    async with asyncio.timeout(AT_ONCE):
        await expect_too_large(
            api, raw_request("POST", REGISTER, JSON, EXPECT, "Content-Length: 70000")
        )


@pytest.mark.gen_test
async def test_a_head_of_16_kib_is_accepted_and_a_longer_one_is_431(api: Api) -> None:
    other = len(raw_request("GET", "/health/live", "X-Long: "))
    for size, status in ((HEAD_LIMIT, 200), (HEAD_LIMIT + 1, 431)):
        field = "X-Long: " + "x" * (size - other)
        answer = await answer_to(api, raw_request("GET", "/health/live", field))
        assert answer.status == status, size
    assert str(HEAD_LIMIT) in answer.json["detail"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        raw_request("GET", "/health/live", "X-Long: " + "x" * 17_000),
        raw_request("GET", "/health/live", *(f"X-{n}: y" for n in range(3000))),
        raw_request("GET", "/api/user", "Authorization: Basic " + "A" * 17_000),
        b"GET /health/live HTTP/1.1\r\nX-Endless: " + b"x" * 300_000,
    ],
    ids=["field", "fields", "credentials", "endless field"],
)
@pytest.mark.gen_test
async def test_more_than_16_kib_of_headers_are_refused(api: Api, request_bytes: bytes) -> None:
    await expect_refusal(api, request_bytes, (431, "header-too-large"))


@pytest.mark.gen_test
async def test_an_endless_line_that_is_not_http_is_refused(api: Api) -> None:
    await expect_bare_refusal(api, b"x" * 300_000)


@pytest.mark.gen_test
async def test_many_large_bodies_at_once_do_not_stop_the_server(api: Api) -> None:
    request = raw_request("POST", REGISTER, JSON, body=b"x" * 200_000)
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(expect_too_large(api, request) for _ in range(20)))


@pytest.mark.gen_test
async def test_a_head_of_100_fields_is_accepted_and_a_longer_one_is_431(api: Api) -> None:
    fields = [f"X-{number}: y" for number in range(99)]  # and Host
    answer = await answer_to(api, raw_request("GET", "/health/live", *fields))
    assert answer.status == 200
    for more in (["X: y"], ["X:"] * 3_000):
        answer = await answer_to(api, raw_request("GET", "/health/live?a", *fields, *more))
        assert (answer.status, answer.problem) == (431, "too-many-header-fields")
        assert answer.headers["Connection"] == "close"


@pytest.mark.gen_test
async def test_a_query_of_100_parameters_is_accepted_and_a_longer_one_is_400(api: Api) -> None:
    longest = "&".join(f"p{number}=&" for number in range(50))
    answer = await answer_to(api, raw_request("GET", f"/health/live?{longest[:-1]}"))
    assert answer.status == 200
    for path in (f"/health/live?{longest}&", "/api/user?" + "a&" * 5_000, "/?" + "&" * 100):
        answer = await answer_to(api, raw_request("GET", path))
        assert (answer.status, answer.problem) == (400, "malformed-request")
        assert "at most 100 query parameters" in answer.json["detail"]
        assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.gen_test
async def test_nothing_is_read_after_a_refused_head(api: Api, dsn: str, method: str) -> None:
    hidden = raw_request("POST", REGISTER, JSON, body=registration(100))
    fields = [f"X-{number}: y" for number in range(200)]
    sent = raw_request(method, REGISTER, JSON, *fields, body=hidden) + hidden
    [answer] = await answers_to(api, sent, [method])
    assert answer.status == 431
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]
