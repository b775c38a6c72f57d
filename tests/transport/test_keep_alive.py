"""The Connection field: which responses keep the connection open."""

import asyncio

import pytest

from handlers.application import Application
from tests.harness.api import Api, bearer
from tests.harness.raw_http import (
    JSON,
    answers_to,
    connected,
    exchange,
    parse_answer,
    raw_request,
)

LIVE = "/health/live"
KEPT_OPEN = [
    (),
    ("Connection: keep-alive",),
    ("Connection: Keep-Alive",),
    ("Connection: KEEP-ALIVE",),
    ("Connection:",),
    ("Connection: x",),
    ("Connection: keep-alive, x", "Connection: y"),
    ("Connection: closed",),
]
CLOSED = [
    ("Connection: close",),
    ("Connection: Close",),
    ("Connection: x, close",),
    ("Connection: close , x",),
    ("Connection: keep-alive,CLOSE",),
    ("Connection: keep-alive", "Connection: close"),
]


async def responses(api: Api, *requests: bytes) -> list[tuple[int, str | None]]:
    """Send pipelined requests; return status and Connection of each response until the end."""
    rest = await exchange(api, b"".join(requests))
    found = []
    while rest:
        answer, rest = parse_answer(rest, "GET")
        found.append((answer.status, answer.headers.get("Connection")))
    return found


@pytest.mark.parametrize("fields", KEPT_OPEN, ids=" + ".join)
@pytest.mark.gen_test
async def test_http_1_1_without_close_stays_open(api: Api, fields: tuple[str, ...]) -> None:
    request = raw_request("GET", LIVE, *fields)
    async with connected(api) as (reader, writer):
        for _ in range(2):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nConnection:" not in head
            await reader.readuntil(b"}\n")
        writer.write(raw_request("GET", "/nowhere", *fields))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("path", [LIVE, "/health/ready", "/api/user"])
@pytest.mark.parametrize("fields", CLOSED, ids=" + ".join)
@pytest.mark.gen_test
async def test_http_1_1_with_close_is_closed_and_nothing_more_is_served(
    api: Api, app: Application, path: str, fields: tuple[str, ...]
) -> None:
    status = 401 if path == "/api/user" else 200
    more = raw_request("GET", LIVE)
    assert await responses(api, raw_request("GET", path, *fields), more, more) == [
        (status, "close")
    ]
    assert app.running == 0


@pytest.mark.parametrize("field", ["Connection: close", "Connection: x, close"])
@pytest.mark.gen_test
async def test_a_request_behind_close_does_not_run(api: Api, field: str) -> None:
    token = await api.registered_token()
    authorization = f"Authorization: {bearer(token)}"
    deletion = raw_request("DELETE", "/api/user", authorization, JSON, body=b"{}")
    assert await responses(api, raw_request("GET", LIVE, field), deletion) == [(200, "close")]
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200


@pytest.mark.parametrize("fields", [(), ("Connection: x",), ("Connection: close",)])
@pytest.mark.gen_test
async def test_http_1_0_without_keep_alive_is_closed(api: Api, fields: tuple[str, ...]) -> None:
    request = raw_request("GET", LIVE, *fields, version="HTTP/1.0")
    assert await responses(api, request, request) == [(200, "close")]


@pytest.mark.parametrize("field", ["Connection: keep-alive", "Connection: Keep-Alive"])
@pytest.mark.gen_test
async def test_http_1_0_with_keep_alive_stays_open(api: Api, field: str) -> None:
    request = raw_request("GET", LIVE, field, version="HTTP/1.0")
    last = raw_request("GET", LIVE, version="HTTP/1.0")
    assert await responses(api, request, request, last) == [
        (200, "Keep-Alive"),
        (200, "Keep-Alive"),
        (200, "close"),
    ]


@pytest.mark.gen_test
async def test_clients_of_a_draining_server_are_disconnected_whatever_they_ask(
    api: Api, app: Application
) -> None:
    for fields in KEPT_OPEN:
        app.draining = False
        async with connected(api) as (reader, writer):
            writer.write(raw_request("GET", LIVE, *fields))
            await reader.readuntil(b"}\n")
            app.draining = True
            writer.write(raw_request("GET", LIVE, *fields))
            async with asyncio.timeout(30):
                answer, rest = parse_answer(await reader.read(), "GET")
        assert (answer.status, answer.headers["Connection"], rest) == (200, "close", b"")


@pytest.mark.gen_test
async def test_a_draining_server_serves_the_requests_that_have_arrived_together(
    api: Api, app: Application
) -> None:
    app.draining = True
    request = raw_request("GET", LIVE)
    answers = await answers_to(api, request * 3, ["GET"] * 3)
    assert [answer.status for answer in answers] == [200] * 3
    assert [answer.headers.get("Connection") for answer in answers] == [None, None, "close"]
