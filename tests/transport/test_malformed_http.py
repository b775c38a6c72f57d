"""Malformed HTTP: refused or served, without a hang, a traceback, or a smuggled request."""

import asyncio

import pytest

from handlers.application import Application
from tests.harness.api import PASSWORD, Api
from tests.harness.raw_http import (
    JSON,
    MALFORMED,
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
from tests.harness.waiting import until

LIVE = "/health/live"
REGISTER = "/api/user/register"
BODY = f'{{"email": "susan@example.com", "password": "{PASSWORD}"}}'.encode()
CHUNKED = "Transfer-Encoding: chunked"
HIDDEN = raw_request("POST", REGISTER, JSON, body=BODY)


def lines(*content: str) -> bytes:
    return "\r\n".join([*content, "", ""]).encode("latin1")


NOT_HTTP = {
    "words": b"hello there\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200 + b"\r\n\r\n",
    "NUL": b"\x00" * 100 + b"\r\n\r\n",
    "HTTP/0.9": b"GET /health/live\r\n\r\n",
    "no version number": lines("GET /health/live HTTP/", "Host: x"),
    "lower case http": lines("GET /health/live http/1.1", "Host: x"),
    "two spaces": lines("GET  /health/live HTTP/1.1", "Host: x"),
    "a space in the target": lines("GET /health/live x HTTP/1.1", "Host: x"),
    "a tab in the line": lines("GET\t/health/live\tHTTP/1.1", "Host: x"),
    "NUL in the target": lines("GET /health/live\x00 HTTP/1.1", "Host: x"),
    "no target": lines("GET HTTP/1.1", "Host: x"),
    "a method with brackets": lines("G(E)T /health/live HTTP/1.1", "Host: x"),
}
MALFORMED_FIELDS = {
    "no host": lines("GET /health/live HTTP/1.1", "X: y"),
    "two hosts": lines("GET /health/live HTTP/1.1", "Host: a", "Host: b"),
    "a host with a slash": lines("GET /health/live HTTP/1.1", "Host: a/b"),
    "a host that is too long": lines("GET /health/live HTTP/1.1", f"Host: {'x' * 256}:12345"),
    "a field without a colon": lines("GET /health/live HTTP/1.1", "Host: x", "field"),
    "a field without a name": lines("GET /health/live HTTP/1.1", "Host: x", ": y"),
    "a space before the colon": lines("GET /health/live HTTP/1.1", "Host: x", "X : y"),
    "a folded field": lines("GET /health/live HTTP/1.1", "Host: x", "X: a", " b"),
    "NUL in a field": lines("GET /health/live HTTP/1.1", "Host: x", "X: a\x00b"),
    "a bare CR in a field": lines("GET /health/live HTTP/1.1", "Host: x", "X: a\rY: b"),
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP.keys())
@pytest.mark.gen_test
async def test_bytes_that_are_not_http_are_refused(api: Api, sent: bytes) -> None:
    await expect_bare_refusal(api, sent)


@pytest.mark.parametrize("sent", MALFORMED_FIELDS.values(), ids=MALFORMED_FIELDS.keys())
@pytest.mark.gen_test
async def test_malformed_fields_are_400(api: Api, sent: bytes) -> None:
    await expect_refusal(api, sent, MALFORMED)


@pytest.mark.parametrize(
    "sent",
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", lines("GET /health/live HTTP/9.9", "Host: x")],
    ids=["HTTP/2", "HTTP/9.9"],
)
@pytest.mark.gen_test
async def test_another_major_version_is_505(api: Api, sent: bytes) -> None:
    await expect_refusal(api, sent, (505, "unsupported-version"))


@pytest.mark.parametrize(
    "length", ["-1", "+5", "abc", "0x10", "1_0", "1.0", "5 5", "", "\u00b2", "1e2", "5, 6", "5,"]
)
@pytest.mark.gen_test
async def test_a_content_length_that_is_not_a_number_is_refused(
    api: Api, dsn: str, length: str
) -> None:
    field = f"Content-Length: {length}"
    request = raw_request("POST", REGISTER, JSON, field, body=BODY + HIDDEN)
    await expect_refusal(api, request, MALFORMED)
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


AMBIGUOUS = {
    "length and chunked": [f"Content-Length: {len(BODY)}", CHUNKED],
    "chunked and length": [CHUNKED, "Content-Length: 5"],
    "two lengths": [f"Content-Length: {len(BODY)}", "Content-Length: 5"],
    "an unknown coding": ["Transfer-Encoding: xchunked"],
    "gzip": ["Transfer-Encoding: gzip"],
    "gzip, chunked": ["Transfer-Encoding: gzip, chunked"],
    "chunked, identity": ["Transfer-Encoding: chunked, identity"],
    "chunked twice": [CHUNKED, CHUNKED],
    "chunked with a vertical tab": ["Transfer-Encoding: \x0bchunked"],
    "chunked in quotes": ['Transfer-Encoding: "chunked"'],
    "a space before the colon": ["Transfer-Encoding : chunked", "Content-Length: 5"],
    "folded": ["Transfer-Encoding:", " chunked"],
    "an empty coding": ["Transfer-Encoding:", "Content-Length: 5"],
}
# The end of such a body is known, but not how to decode it.
UNSUPPORTED = {"gzip, chunked": (501, "unsupported-coding")}


@pytest.mark.parametrize("name", AMBIGUOUS)
@pytest.mark.gen_test
async def test_an_ambiguous_body_length_ends_the_connection(api: Api, dsn: str, name: str) -> None:
    refusal = UNSUPPORTED.get(name, MALFORMED)
    for body in (BODY + HIDDEN, chunked(b"x") + HIDDEN, b"0\r\n\r\n" + HIDDEN):
        request = raw_request("POST", LIVE, JSON, *AMBIGUOUS[name], body=body)
        await expect_refusal(api, request, refusal)
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"-1\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcX0\r\n\r\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
        b"3\nabc\n0\n\n" + b"x" * 100,
        b"0\r\nX\r\n\r\n",
        b"0" * 1000 + b"3\r\nabc\r\n0\r\n\r\n",
        b"f" * 60 + b"\r\nabc",
    ],
)
@pytest.mark.gen_test
async def test_malformed_chunks_are_refused(api: Api, dsn: str, body: bytes) -> None:
    request = raw_request("POST", REGISTER, JSON, CHUNKED, body=body + HIDDEN)
    await expect_refusal(api, request, MALFORMED)
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.gen_test
async def test_a_chunk_of_the_largest_integer_is_413(api: Api, dsn: str) -> None:
    body = b"7fffffffffffffff\r\nabc" + HIDDEN
    request = raw_request("POST", REGISTER, JSON, CHUNKED, body=body)
    await expect_refusal(api, request, (413, "content-too-large"))
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize(
    "body",
    [
        b"%x;name=value\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
        b"%x\r\n%b\r\n0\r\nX-Trailer: x\r\n\r\n" % (len(BODY), BODY),
    ],
    ids=["an extension", "a trailer"],
)
@pytest.mark.gen_test
async def test_rare_parts_of_the_chunked_coding_are_accepted(api: Api, body: bytes) -> None:
    answer = await answer_to(api, raw_request("POST", REGISTER, JSON, CHUNKED, body=body))
    assert (answer.status, answer.json["email"]) == (201, "susan@example.com")


TRUNCATED = {
    "nothing": b"",
    "half a line": b"GET /heal",
    "half the headers": b"GET /health/live HTTP/1.1\r\nHost: x\r\n",
    "half a body": raw_request("POST", REGISTER, "Content-Length: 100", body=b"{"),
    "half a chunk": raw_request("POST", REGISTER, CHUNKED, body=b"5\r\nab"),
    "no last chunk": raw_request("POST", REGISTER, CHUNKED, body=b"2\r\nab\r\n"),
}


@pytest.mark.parametrize("sent", TRUNCATED.values(), ids=TRUNCATED.keys())
@pytest.mark.gen_test
async def test_a_truncated_request_is_disconnected_without_a_response(
    api: Api, sent: bytes
) -> None:
    assert await exchange(api, sent, then_end=True) == b""
    await expect_running(api)


@pytest.mark.gen_test
async def test_a_client_may_end_too_large_a_body_after_the_response(api: Api) -> None:
    async with connected(api) as (reader, writer):
        writer.write(raw_request("POST", REGISTER, JSON, "Content-Length: 70000", body=b"{"))
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        answer, rest = parse_answer(head + await read_to_end(reader), "POST")
    assert (answer.status, answer.problem, rest) == (413, "content-too-large", b"")
    await expect_running(api)


@pytest.mark.gen_test
async def test_requests_that_never_end_delay_no_other_client(api: Api) -> None:
    async with connected(api) as one, connected(api) as two, connected(api) as three:
        one[1].write(b"GET /heal")
        two[1].write(raw_request("POST", REGISTER, JSON, "Content-Length: 100", body=b"{"))
        three[1].write(raw_request("POST", REGISTER, JSON, CHUNKED, body=b"5\r\n"))
        assert (await api.register()).status == 201


@pytest.mark.gen_test
async def test_clients_that_disconnect_before_the_response_do_no_harm(
    api: Api, app: Application
) -> None:
    await api.register()
    for _ in range(20):
        async with connected(api) as (_, writer):
            writer.write(HIDDEN)
            writer.transport.abort()
    assert (await api.log_in()).status == 200
    await until(lambda: not app.running)


@pytest.mark.gen_test
async def test_a_request_may_arrive_byte_by_byte(api: Api) -> None:
    request = raw_request("POST", REGISTER, JSON, body=BODY, close=True)
    async with connected(api) as (reader, writer):
        for byte in request:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        answer, _ = parse_answer(await read_to_end(reader), "POST")
    assert answer.status == 201


@pytest.mark.gen_test
async def test_pipelined_requests_get_their_responses_in_order(api: Api, dsn: str) -> None:
    token = await api.registered_token("other@example.com")
    requests = [
        (200, raw_request("GET", LIVE)),
        (401, raw_request("GET", "/api/user")),
        (200, raw_request("HEAD", LIVE)),
        (415, raw_request("POST", REGISTER, body=BODY)),
        (404, raw_request("POST", "/nowhere", JSON, body=HIDDEN)),
        (405, raw_request("PUT", "/api/user", JSON, body=HIDDEN)),
        (400, raw_request("POST", REGISTER, JSON, body=HIDDEN)),
        (422, raw_request("POST", REGISTER, JSON, CHUNKED, body=chunked(b"{", b"}"))),
        (204, raw_request("OPTIONS", "/api/user")),
        (401, raw_request("GET", "/api/user", JSON, body=HIDDEN)),
        (200, raw_request("GET", "/api/user", f"Authorization: Bearer {token}", close=True)),
    ]
    methods = [request.partition(b" ")[0].decode() for _, request in requests]
    answers = await answers_to(api, b"".join(request for _, request in requests), methods)
    assert [answer.status for answer in answers] == [status for status, _ in requests]
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(1,)]


@pytest.mark.gen_test
async def test_http_1_0_is_served_and_then_disconnected(api: Api) -> None:
    answer = await answer_to(api, raw_request("GET", LIVE, version="HTTP/1.0"))
    assert answer.status == 200
    assert "Transfer-Encoding" not in answer.headers


@pytest.mark.gen_test
async def test_an_empty_line_before_a_request_is_ignored(api: Api) -> None:
    """As RFC 9112 asks for in section 2.2."""
    answer = await exchange(api, b"\r\n" + raw_request("GET", LIVE, close=True))
    assert parse_answer(answer, "GET")[0].status == 200


@pytest.mark.gen_test
async def test_the_same_content_length_twice_is_refused_in_one_field_and_in_two(
    api: Api, dsn: str
) -> None:
    length = f"Content-Length: {len(BODY)}"
    for fields in ([length, length], [f"{length}, {len(BODY)}"]):
        answer = await answer_to(api, raw_request("POST", REGISTER, JSON, *fields, body=BODY))
        assert (answer.status, answer.problem) == (400, "malformed-request"), fields
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize(
    ("coding", "refusal"),
    [
        (",chunked", MALFORMED),
        ("chunked,", MALFORMED),
        ("chunked, ,", MALFORMED),
        (",", MALFORMED),
        ("chunked, chunked", MALFORMED),
        ("gzip,, chunked", MALFORMED),
        ("gzip, chunked", UNSUPPORTED["gzip, chunked"]),
        ("gzip", MALFORMED),
    ],
)
@pytest.mark.gen_test
async def test_a_list_of_codings_that_is_malformed_is_400_and_an_unknown_coding_501(
    api: Api, coding: str, refusal: tuple[int, str]
) -> None:
    field = f"Transfer-Encoding: {coding}"
    request = raw_request("POST", REGISTER, JSON, field, body=chunked(BODY))
    await expect_refusal(api, request, refusal)


@pytest.mark.parametrize("version", ["HTTP/1.2", "HTTP/1.9"])
@pytest.mark.gen_test
async def test_a_higher_minor_version_is_served_as_http_1_1(api: Api, version: str) -> None:
    """As RFC 9110 asks for in section 2.5."""
    first = raw_request("POST", REGISTER, JSON, CHUNKED, body=chunked(BODY), version=version)
    answers = await answers_to(
        api, first + raw_request("GET", LIVE, close=True, version=version), ["POST", "GET"]
    )
    assert [answer.status for answer in answers] == [201, 200]
