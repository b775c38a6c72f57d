"""The header fields of every response."""

import re

import pytest

from handlers.application import Application
from ops.request_log import RequestRecord
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.raw_http import JSON, answer_to, chunked, raw_request

EMAIL = "susan@example.com"
MADE_HERE = re.compile(r"[0-9a-f]{32}")


def names_and_values(answer: Answer) -> list[tuple[str, str]]:
    """Return the header fields that do not depend on the time or the connection."""
    fields = answer.headers.get_all()
    return sorted(field for field in fields if field[0] not in {"Date", "Connection"})


async def one_answer_of_each_kind(api: Api, request_id: str) -> list[Answer]:
    """Return a response of each status that needs no failure, with the request id sent."""
    headers = {"X-Request-ID": request_id}
    token = await api.registered_token()
    text = {**headers, "Content-Type": "text/plain"}
    json = {**headers, "Content-Type": "application/json"}
    register = "/api/user/register"
    taken, other = (
        f'{{"email": "{email}", "password": "{PASSWORD}"}}'.encode()
        for email in (EMAIL, "other@example.com")
    )
    return [
        await api.request("GET", "/health/live", headers=headers),
        await api.request("HEAD", "/health/ready", headers=headers),
        await api.request("GET", "/api/user", headers=headers, authorization=bearer(token)),
        await api.request("POST", register, headers=json, body=other),
        await api.request("OPTIONS", "/api/user", headers=headers),
        await api.request("POST", register, headers=json, body=b"["),
        await api.request("GET", "/api/user", headers=headers),
        await api.request("GET", "/api/nothing", headers=headers),
        await api.request("GET", "/nothing", headers=headers),
        await api.request("PUT", "/api/user", headers=headers),
        await api.request("POST", register, headers=json, body=taken),
        await api.request("POST", register, headers=json, body=b"x" * 70_000),
        await api.request("POST", register, headers=text, body=taken),
        await api.request("POST", register, headers=json, body=b"{}"),
    ]


@pytest.mark.gen_test
async def test_the_callers_request_id_is_on_every_response(api: Api) -> None:
    answers = await one_answer_of_each_kind(api, "my-id")
    assert [answer.status for answer in answers] == [
        200, 200, 200, 201, 204, 400, 401, 404, 404, 405, 409, 413, 415, 422,
    ]  # fmt: skip
    assert {answer.headers["X-Request-ID"] for answer in answers} == {"my-id"}


@pytest.mark.gen_test
async def test_a_valid_request_id_is_returned(api: Api) -> None:
    for request_id in ("a", "0", ".", "-", "_", "Az09._-", "x" * 128):
        answer = await api.request("GET", "/nowhere", headers={"X-Request-ID": request_id})
        assert answer.headers.get_list("X-Request-ID") == [request_id]
        assert answer.json["request_id"] == request_id


NO_REQUEST_IDS = [
    b"",
    b"x" * 129,
    b"x" * 10_000,
    b"with space",
    b"a/b",
    b"a:b",
    b"a,b",
    b"a+b",
    b"a=",
    b"{a}",
    b'"a"',
    b"<script>",
    b"a%0d%0aX-Evil: 1",
    "é".encode("latin1"),
    "é".encode(),
    "\uff11".encode(),
    b"a\tb",
]


@pytest.mark.gen_test
async def test_any_other_request_id_is_replaced_by_a_new_one(api: Api) -> None:
    for request_id in NO_REQUEST_IDS:
        request = raw_request("GET", "/nowhere", "X-Request-ID: ID").replace(
            b": ID", b": " + request_id
        )
        answer = await answer_to(api, request)
        assert MADE_HERE.fullmatch(answer.headers["X-Request-ID"]), request_id


@pytest.mark.gen_test
async def test_two_request_ids_are_replaced_by_a_new_one(api: Api) -> None:
    answer = await answer_to(
        api, raw_request("GET", "/nowhere", "X-Request-ID: one", "X-Request-ID: two")
    )
    assert MADE_HERE.fullmatch(answer.headers["X-Request-ID"])


@pytest.mark.gen_test
async def test_every_request_without_an_id_gets_a_new_one(api: Api) -> None:
    answers = [await api.request("GET", "/health/live") for _ in range(5)]
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 5


NEGOTIATION = [
    "If-None-Match: *",
    'If-None-Match: "da39a3ee5e6b4b0d3255bfef95601890afd80709"',
    "If-Modified-Since: Tue, 01 Jan 2999 00:00:00 GMT",
    "Range: bytes=0-1",
    "Accept: text/html",
    "Accept-Encoding: gzip",
    "Accept-Language: de",
    "Origin: https://example.com",
    "Cookie: a=b",
]


@pytest.mark.parametrize("path", ["/health/live", "/api/user"])
@pytest.mark.gen_test
async def test_the_whole_response_is_sent_unencoded_whatever_the_caller_accepts(
    api: Api, path: str
) -> None:
    authorization = f"Authorization: {bearer(await api.registered_token())}"
    for header in NEGOTIATION:
        answer = await answer_to(api, raw_request("GET", path, authorization, header))
        assert answer.status == 200, header
        assert answer.json
        for name in ("Set-Cookie", "Etag", "Last-Modified", "Content-Encoding", "Server"):
            assert name not in answer.headers
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("connection", ["close", "keep-alive", "Upgrade"])
@pytest.mark.gen_test
async def test_connection_options_change_nothing_else(api: Api, connection: str) -> None:
    authorization = f"Authorization: {bearer(await api.registered_token())}"
    calls = [
        ("GET", "/api/user", [authorization], b""),
        ("HEAD", "/api/user", [authorization], b""),
        ("OPTIONS", "/api/user", [], b""),
        ("GET", "/api/user", [], b""),
        ("GET", "/api/user", ["Authorization: Bearer x"], b""),
        ("GET", "/nowhere", [], b""),
        ("HEAD", "/nowhere", [], b""),
        ("PUT", "/api/user", [], b""),
        ("HEAD", "/api/user/login", [], b""),
        ("POST", "/api/user/register", [JSON], b"["),
        ("POST", "/api/user/register", [JSON], b"{}"),
        ("POST", "/api/user/register", [], b"{}"),
        ("PATCH", "/api/user", [authorization, JSON], b'{"name": null}'),
    ]
    for method, path, headers, body in calls:
        fixed = [*headers, "X-Request-ID: same"]
        one = await answer_to(api, raw_request(method, path, *fixed, body=body))
        fixed.append(f"Connection: {connection}")
        other = await answer_to(api, raw_request(method, path, *fixed, body=body))
        assert one.status == other.status, (method, path)
        assert names_and_values(one) == names_and_values(other), (method, path)


@pytest.mark.gen_test
async def test_a_204_has_neither_a_body_nor_fields_about_one(api: Api) -> None:
    answer = await api.request("OPTIONS", "/api/user")
    assert answer.status == 204
    for name in ("Content-Type", "Content-Length", "Transfer-Encoding"):
        assert name not in answer.headers


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.gen_test
async def test_text_is_sent_and_accepted_as_utf_8(api: Api, framing: str) -> None:
    body = (
        '{"email": "susan@example.com", "password": "😀😀😀😀😀😀😀😀", "name": "Zoë 😀"}'.encode()
    )
    if framing == "length":
        request = raw_request("POST", "/api/user/register", JSON, body=body)
    else:
        # In the middle of a character.
        halves = chunked(body[:-9], body[-9:])
        request = raw_request(
            "POST", "/api/user/register", JSON, "Transfer-Encoding: chunked", body=halves
        )
    answer = await answer_to(api, request)
    assert answer.status == 201
    assert "Zoë 😀".encode() in answer.content
    assert (await api.log_in(EMAIL, "😀" * 8)).status == 200


@pytest.mark.gen_test
async def test_a_problem_reveals_nothing_about_the_server(api: Api) -> None:
    await api.register(name="Susan")
    answer = await api.request("GET", "/api/user", authorization=basic(EMAIL, "wrong password"))
    for hidden in (b"susan", b"Susan", b"tornado", b"Tornado", b"Python", b"Postgres"):
        assert hidden not in answer.content


@pytest.mark.gen_test
async def test_a_token_in_a_path_or_a_request_id_is_not_logged(
    api: Api, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await api.registered_token()
    records: list[RequestRecord] = []
    monkeypatch.setattr(app.request_log, "write", records.append)
    for path in (f"/api/user/tokens/{token}", f"/api/user/{token}"):
        for given in (token, token.replace(".", "-"), f"x{token}", token.upper()):
            answer = await api.request(
                "DELETE", path, authorization=bearer(token), headers={"X-Request-ID": given}
            )
            assert answer.headers["X-Request-ID"] != given
    assert {record.route for record in records} == {"/api/user/tokens/{id}", "unknown"}
    assert not any(token.partition(".")[0] in repr(record).lower() for record in records)


@pytest.mark.gen_test
async def test_a_request_has_a_server_id_beside_the_callers(
    api: Api, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.register()
    records: list[RequestRecord] = []
    monkeypatch.setattr(app.request_log, "write", records.append)
    given = {"X-Request-ID": "of-another-request"}
    await api.request("GET", "/api/user/login", authorization=basic(EMAIL, PASSWORD), headers=given)
    answer = await api.request("GET", "/api/user/events", authorization=basic(EMAIL, PASSWORD))
    assert [record.client_request_id for record in records] == ["of-another-request", None]
    assert answer.json["events"][0]["request_id"] == records[0].request_id != "of-another-request"


@pytest.mark.gen_test
async def test_request_ids_reveal_no_count(api: Api) -> None:
    answers = [await api.request("GET", "/health/live") for _ in range(16)]
    ids = [answer.headers["X-Request-ID"] for answer in answers]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    # No part of the ids is constant, and none increases with the requests.
    for start in range(0, 32, 8):
        parts = [int(each[start : start + 8], 16) for each in ids]
        assert len(set(parts)) == len(parts)
        assert parts != sorted(parts)


@pytest.mark.gen_test
async def test_the_address_is_logged_only_for_rejected_credentials(
    api: Api, app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await api.registered_token()
    records: list[RequestRecord] = []
    monkeypatch.setattr(app.request_log, "write", records.append)
    for authorization in (bearer(token), bearer(token + "x"), basic(EMAIL, "wrong password"), None):
        await api.request("GET", "/api/user", authorization=authorization)
    await api.request("GET", "/nowhere")
    assert [(record.status, record.ip) for record in records] == [
        (200, None),
        *[(401, "127.0.0.1")] * 3,
        (404, None),
    ]


@pytest.mark.gen_test
async def test_caches_must_not_store_responses_of_the_api(api: Api) -> None:
    token = await api.registered_token()
    for method, path, authorization, status in (
        ("GET", "/api/user", bearer(token), 200),
        ("GET", "/api/user/tokens", bearer(token), 200),
        ("GET", "/api/user/events", bearer(token), 200),
        ("GET", "/api/verify", bearer(token), 200),
        ("GET", "/api/user", None, 401),
        ("GET", "/api/none", None, 404),
        ("PUT", "/api/user", None, 405),
        ("DELETE", "/api/user", bearer(token), 200),
    ):
        answer = await api.request(method, path, authorization=authorization)
        assert (answer.status, answer.headers.get_list("Cache-Control")) == (status, ["no-store"])
