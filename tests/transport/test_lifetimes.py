"""The lifetimes of tokens, cached passwords and connections."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from handlers.application import Application
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.raw_http import JSON, answers_to, connected, raw_request, read_to_end
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
NEW_PASSWORD = "another horse battery"


async def status(api: Api, authorization: str) -> int:
    return (await api.request("GET", "/api/user", authorization=authorization)).status


@override_settings(TOKENS__LIFETIME_SECONDS=60)
@pytest.mark.gen_test
async def test_a_token_is_valid_for_the_configured_lifetime(api: Api, clock: Clock) -> None:
    token = await api.registered_token()
    assert (await api.log_in()).json["expires_in"] == 60
    clock.advance(59.9)
    assert await status(api, bearer(token)) == 200
    clock.advance(0.1)
    assert await status(api, bearer(token)) == 401


@pytest.mark.gen_test
async def test_a_correct_password_is_hashed_once_and_a_wrong_one_each_time(
    api: Api, checks: list[bytes]
) -> None:
    await api.register()
    for address in (EMAIL, EMAIL.upper(), EMAIL):
        assert await status(api, basic(address, PASSWORD)) == 200
    assert len(checks) == 1
    for _ in range(2):
        assert await status(api, basic(EMAIL, "wrong password")) == 401
    assert len(checks) == 3


@pytest.mark.parametrize("change", ["password", "deletion", "administrator", "another hash"])
@pytest.mark.gen_test
async def test_a_cached_password_is_rejected_as_soon_as_it_is_wrong(
    api: Api, dsn: str, change: str
) -> None:
    token = await api.registered_token()
    await api.register("other@example.com", NEW_PASSWORD)
    assert await status(api, basic(EMAIL, PASSWORD)) == 200
    match change:
        case "password":
            await api.request(
                "PATCH",
                "/api/user",
                authorization=bearer(token),
                json_body={"password": NEW_PASSWORD},
            )
        case "deletion":
            await api.request("DELETE", "/api/user", authorization=bearer(token))
        case "administrator":
            run_sql(dsn, "DELETE FROM users")
        case _:
            run_sql(
                dsn,
                "UPDATE users SET password_hash ="
                " (SELECT password_hash FROM users WHERE email = 'other@example.com')",
            )
    for method in ("GET", "DELETE"):
        answer = await api.request(method, "/api/user", authorization=basic(EMAIL, PASSWORD))
        assert answer.status == 401


@override_settings(LIMITS__BODY_TIMEOUT_SECONDS=0.2, LIMITS__IDLE_TIMEOUT_SECONDS=0.2)
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /heal",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n",
    ],
    ids=["nothing", "half a line", "half a head"],
)
@pytest.mark.gen_test
async def test_a_header_that_never_ends_is_disconnected(
    api: Api, app: Application, sent: bytes
) -> None:
    async with connected(api) as (reader, writer):
        writer.write(sent)
        assert await read_to_end(reader) == b""
    assert app.running == 0
    assert (await api.request("GET", "/health/live")).status == 200


@override_settings(LIMITS__BODY_TIMEOUT_SECONDS=0.2)
@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (["Content-Length: 100"], b""),
        (["Content-Length: 100"], b"{"),
        (["Transfer-Encoding: chunked"], b"5\r\n"),
        (["Transfer-Encoding: chunked"], b"2\r\n{}\r\n"),
    ],
    ids=["no body", "half a body", "half a chunk", "no last chunk"],
)
@pytest.mark.gen_test
async def test_a_body_that_does_not_arrive_is_408(
    api: Api, app: Application, fields: list[str], body: bytes
) -> None:
    ours = "X-Request-ID: ours"
    sent = raw_request("POST", "/api/user/register", JSON, ours, *fields, body=body)
    [answer] = await answers_to(api, sent, ["POST"])
    assert (answer.status, answer.problem) == (408, "request-timeout")
    assert answer.headers["X-Request-ID"] == "ours"
    assert answer.headers["Connection"] == "close"
    assert app.running == 0


@override_settings(LIMITS__IDLE_TIMEOUT_SECONDS=0.2)
@pytest.mark.gen_test
async def test_an_idle_connection_is_closed(api: Api) -> None:
    async with connected(api) as (reader, writer):
        writer.write(raw_request("GET", "/health/live"))
        assert (await read_to_end(reader)).startswith(b"HTTP/1.1 200 ")


@override_settings(LIMITS__MAX_CONNECTIONS=2)
@pytest.mark.gen_test
async def test_beyond_max_connections_the_longest_idle_one_is_closed(api: Api) -> None:
    request = raw_request("GET", "/health/live")
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(3):
            reader, writer = await stack.enter_async_context(connected(api))
            writer.write(request)
            await reader.readuntil(b"}\n")
            readers.append(reader)
        assert await read_to_end(readers[0]) == b""
        writer.write(request)
        assert (await readers[2].readuntil(b"}\n")).startswith(b"HTTP/1.1 200 ")


@override_settings(PASSWORDS__MAX_WAIT_SECONDS=0.05, PASSWORDS__WORKERS=1, PASSWORDS__BCRYPT_COST=8)
@pytest.mark.gen_test
async def test_a_request_that_would_wait_too_long_for_a_hash_is_503(api: Api) -> None:
    await api.register()
    answers = await asyncio.gather(*(api.log_in() for _ in range(30)))
    assert {answer.status for answer in answers} == {200, 503}
    for answer in answers:
        if answer.status == 503:
            assert answer.problem == "overloaded"
            assert int(answer.headers["Retry-After"]) > 0
    assert (await api.log_in()).status == 200
