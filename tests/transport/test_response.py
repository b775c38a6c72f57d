"""Responses: the same whatever the request says of its connection."""

import asyncio
import socket
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest

from handlers.application import Application
from services.identities import Identities
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer, check_invariants
from tests.harness.raw_http import (
    JSON,
    connected,
    exchange,
    parse_answer,
    raw_request,
    read_to_end,
)
from tests.harness.waiting import until
from transport import base_connection

EMAIL = "susan@example.com"
BY_PASSWORD = f"Authorization: {basic(EMAIL, PASSWORD)}"
WRONG = f"Authorization: {basic(EMAIL, 'a wrong password')}"
SAME_ID = "X-Request-ID: same"
QUIET_TURNS = 1_000
# Method, path, header fields, body and status of calls that can be repeated.
Request = tuple[str, str, tuple[str, ...], bytes]
CALLS: list[tuple[Request, int]] = [
    (("GET", "/api/user", (BY_PASSWORD,), b""), 200),
    (("HEAD", "/api/user", (BY_PASSWORD,), b""), 200),
    (("OPTIONS", "/api/user", (), b""), 204),
    (("GET", "/docs", ("If-None-Match: *",), b""), 304),
    (("HEAD", "/docs/swagger-ui-bundle.js", (), b""), 200),
    (("GET", "/health/live", (), b""), 200),
    (("HEAD", "/health/ready", (), b""), 200),
    (("PATCH", "/api/user", (BY_PASSWORD, JSON), b"["), 400),
    (("GET", "/api/user", (), b""), 401),
    (("GET", "/api/user", (WRONG,), b""), 401),
    (("HEAD", "/api/user", (WRONG,), b""), 401),
    (("GET", "/api/user", ("Authorization: Bearer x",), b""), 401),
    (("GET", "/nowhere", (), b""), 404),
    (("HEAD", "/nowhere", (), b""), 404),
    (("OPTIONS", "/nowhere", (), b""), 404),
    (("HEAD", "/api/user/login", (), b""), 405),
    (("BREW", "/api/user", (), b""), 405),
    (("PATCH", "/api/user", (BY_PASSWORD, JSON), b"{}"), 422),
    (("POST", "/api/user/register", (), b"{}"), 415),
    (("POST", "/api/user/register", (JSON,), b'{"email": "\xc3\xbc", "password": "x"}'), 422),
]
# Version, a request field, and the Connection field of the response.
WAYS = [
    ("HTTP/1.1", "Connection: close", "close"),
    ("HTTP/1.1", "Connection: CLOSE", "close"),
    ("HTTP/1.1", "Connection: keep-alive", None),
    ("HTTP/1.0", "Accept: */*", "close"),
    ("HTTP/1.0", "Connection: close", "close"),
    ("HTTP/1.0", "Connection: keep-alive", "Keep-Alive"),
]


def sent(request: Request, *more: str, version: str = "HTTP/1.1") -> bytes:
    method, path, headers, body = request
    return raw_request(method, path, SAME_ID, *headers, *more, body=body, version=version)


def fields(answer: Answer) -> list[tuple[str, str]]:
    """Return all fields except Date and Connection."""
    excluded = {"Date", "Connection"}
    return sorted(field for field in answer.headers.get_all() if field[0] not in excluded)


async def quick_answer(api: Api, request: Request) -> Answer:
    """Return the response on a connection that stays open."""
    rest = await exchange(api, sent(request) + sent(LAST, "Connection: close"))
    answer, rest = parse_answer(rest, request[0])
    last, rest = parse_answer(rest, "GET")
    assert (last.status, rest) == (200, b"")
    assert "Connection" not in answer.headers
    check_invariants(answer, method=request[0])
    return answer


LAST: Request = ("GET", "/health/live", (), b"")


@pytest.mark.parametrize(("request_", "status"), CALLS)
@pytest.mark.gen_test
async def test_a_response_is_the_same_whether_or_not_the_connection_stays_open(
    api: Api, request_: Request, status: int
) -> None:
    await api.register(EMAIL)
    quick = await quick_answer(api, request_)
    assert quick.status == status
    for version, more, connection in WAYS:
        data = sent(request_, more, version=version)
        stays_open = more.endswith("keep-alive")
        if stays_open:
            data += sent(LAST, "Connection: close")
        other, rest = parse_answer(await exchange(api, data), request_[0])
        assert (other.status, other.content) == (quick.status, quick.content), (version, more)
        assert fields(other) == fields(quick), (version, more)
        assert other.headers.get("Connection") == connection, (version, more)
        if stays_open:
            last, rest = parse_answer(rest, "GET")
            assert last.status == 200
        assert rest == b"", (version, more)


@pytest.mark.parametrize(("request_", "status"), CALLS)
@pytest.mark.gen_test
async def test_a_draining_server_adds_close_and_nothing_else(
    api: Api, app: Application, request_: Request, status: int
) -> None:
    if request_[1] == "/health/ready":
        status = 503
    await api.register(EMAIL)
    quick = await quick_answer(api, request_)
    app.draining = True
    last, rest = parse_answer(await exchange(api, sent(request_)), request_[0])
    assert (last.status, rest) == (status, b"")
    assert last.headers["Connection"] == "close"
    if status != 503:
        assert fields(last) == fields(quick)
        assert last.content == quick.content


@pytest.mark.gen_test
async def test_a_500_is_the_same_either_way_and_the_connection_stays_open(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_self: Identities, *_arguments: object, **_more: object) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(Identities, "identify", fail)
    request: Request = ("GET", "/api/user", (BY_PASSWORD,), b"")
    quick = await quick_answer(api, request)
    other, rest = parse_answer(await exchange(api, sent(request, "Connection: close")), "GET")
    assert (quick.status, rest) == (500, b"")
    assert (other.status, other.content) == (quick.status, quick.content)
    assert fields(other) == fields(quick)
    caplog.clear()


@pytest.mark.gen_test
async def test_responses_on_one_connection_arrive_in_order_and_do_not_mix(api: Api) -> None:
    await api.register(EMAIL)
    requests = [request for request, _ in CALLS]
    data = b"".join(
        raw_request(method, path, f"X-Request-ID: id-{number}", *headers, body=body)
        for number, (method, path, headers, body) in enumerate(requests)
    )
    rest = await exchange(api, data + sent(LAST, "Connection: close"))
    for number, (request, status) in enumerate(CALLS):
        answer, rest = parse_answer(rest, request[0])
        check_invariants(answer, method=request[0])
        assert (answer.status, answer.headers["X-Request-ID"]) == (status, f"id-{number}")
    last, rest = parse_answer(rest, "GET")
    assert (last.status, rest) == (200, b"")


@pytest.mark.parametrize("more", [(), ("Connection: close",)])
@pytest.mark.gen_test
async def test_the_date_is_the_time_of_the_response(
    api: Api, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    for now in (1_800_000_000.0, 1_800_000_000.9, 1_800_000_001.0, 1_700_000_000.5):
        monkeypatch.setattr("transport.response.time.time", lambda now=now: now)
        data = sent(LAST, *more) + (b"" if more else sent(LAST, "Connection: close"))
        answer, _ = parse_answer(await exchange(api, data), "GET")
        date = answer.headers["Date"]
        assert date.endswith(" GMT")
        assert parsedate_to_datetime(date).timestamp() == int(now)


@pytest.mark.gen_test
async def test_a_client_that_disconnects_before_the_response_does_no_harm(
    api: Api, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, may_continue = asyncio.Event(), asyncio.Event()
    identify = Identities.identify

    async def wait(self: Identities, *arguments: object, **more: object) -> object:
        started.set()
        await may_continue.wait()
        return await identify(self, *arguments, **more)  # type: ignore[arg-type]

    token = await api.registered_token(EMAIL)
    monkeypatch.setattr(Identities, "identify", wait)
    for more in ((), ("Connection: close",)):
        async with connected(api) as (_, writer):
            writer.write(
                sent(("GET", "/api/user", (f"Authorization: {bearer(token)}",), b""), *more)
            )
            await started.wait()
        assert (await api.request("GET", "/health/live")).status == 200
        may_continue.set()
        await until(lambda: not app.running)
        started.clear()
        may_continue.clear()


@pytest.mark.gen_test
async def test_no_further_request_is_read_from_a_client_that_never_reads_responses(
    api: Api, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    responses = 0

    def count(_record: object) -> None:
        nonlocal responses
        responses += 1

    monkeypatch.setattr(app.request_log, "write", count)
    requests = 60_000
    address = urlsplit(api.url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((address.hostname, address.port))
        connection.settimeout(0)
        _, writer = await asyncio.open_connection(sock=connection, limit=1)
        writer.write(raw_request("GET", "/nowhere") * requests)
        await until(lambda: responses)
        # Server and client run on this event loop: if neither does anything for many of its turns,
        # the server has stopped, however slow the machine is.
        quiet_turns, before = 0, 0
        while quiet_turns < QUIET_TURNS:
            quiet_turns = quiet_turns + 1 if responses == before else 0
            before = responses
            await asyncio.sleep(0)
        writer.transport.abort()
    assert responses < requests


@pytest.mark.gen_test
async def test_too_large_a_body_is_drained_after_the_response_however_late_it_is(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_connection, "LINGER_SECONDS", 0.2)
    identify = Identities.identify

    async def slowly(self: Identities, *arguments: object, **more: object) -> object:
        await asyncio.sleep(0.4)
        return await identify(self, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Identities, "identify", slowly)
    body = b"{" * 12_000_000
    async with connected(api) as (reader, writer):
        writer.write(raw_request("PATCH", "/api/user", WRONG, JSON, body=body))
        await writer.drain()
        answer, rest = parse_answer(await reader.read(), "PATCH")
    assert answer.status == 401
    assert rest == b""


@pytest.mark.gen_test
async def test_a_refused_body_is_drained_up_to_a_limit(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_connection, "LINGER_BYTES", 100_000)
    monkeypatch.setattr(base_connection, "LINGER_SECONDS", 60.0)
    endless = raw_request(
        "POST", "/api/user/register", JSON, "Content-Length: 10000000", body=b"x" * 500_000
    )
    async with connected(api) as (reader, writer):
        writer.write(endless)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
        await read_to_end(reader)
