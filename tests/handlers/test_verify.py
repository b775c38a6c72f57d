"""GET /api/verify: the check of a proxy."""

import asyncio
import json
from urllib.parse import unquote

import pytest

from handlers.application import Application
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.raw_http import JSON, answer_to, answers_to, raw_request
from tests.harness.sql import run_sql

VERIFY = "/api/verify"
REGISTRATION = json.dumps({"email": "susan@example.com", "password": PASSWORD}).encode()
# Less than limits.body_timeout_seconds.
AT_ONCE = 10
FIELDS = ("X-Auth-User-Id", "X-Auth-Email", "X-Auth-Name", "X-Auth-Email-Verified")


@pytest.mark.parametrize(
    ("email", "name"),
    [
        ("susan@example.com", None),
        ("su.san+tag!#$&'*/=?^_`{|}~-@example.com", "Susan Miller"),
        ("100%@example.com", 'Zoë "Ω" 李 %41'),
        ("sörén@exämple.com", "a, b; c"),
    ],
)
@pytest.mark.gen_test
async def test_a_user_is_returned_in_header_fields(api: Api, email: str, name: str | None) -> None:
    user = (await api.register(email, name=name)).json
    for authorization in (basic(email, PASSWORD), bearer(await api.token(email))):
        for method in ("GET", "HEAD"):
            answer = await api.request(method, VERIFY, authorization=authorization)
            assert (answer.status, answer.content) == (200, b"")
            found = [unquote(answer.headers[field]) for field in FIELDS]
            assert found == [user["id"], user["email"], user["name"] or "", "false"]
            assert all(answer.headers[field].isascii() for field in FIELDS)


@pytest.mark.gen_test
async def test_an_ordinary_address_is_not_encoded(api: Api) -> None:
    await api.register("susan+tag@example.com")
    answer = await api.request(
        "GET", VERIFY, authorization=basic("susan+tag@example.com", PASSWORD)
    )
    assert answer.headers["X-Auth-Email"] == "susan+tag@example.com"


@pytest.mark.gen_test
async def test_missing_and_revoked_credentials_are_401_without_a_user(api: Api) -> None:
    token = await api.registered_token()
    await api.request("POST", "/api/user/logout", authorization=bearer(token))
    for authorization in (None, bearer(token), basic("susan@example.com", "wrong password")):
        answer = await api.request("GET", VERIFY, authorization=authorization)
        assert answer.status == 401
        assert not any(field in answer.headers for field in FIELDS)


@pytest.mark.gen_test
async def test_the_proxys_address_is_not_recorded_as_the_users(
    api: Api, app: Application, dsn: str
) -> None:
    token = await api.registered_token()
    run_sql(dsn, "UPDATE tokens SET ip = '192.0.2.1'")
    await api.request("GET", VERIFY, authorization=bearer(token))
    await app.services.usage.write()
    assert run_sql(dsn, "SELECT host(ip), last_used_at IS NOT NULL FROM tokens") == [
        ("192.0.2.1", True)
    ]


SPELLINGS = (VERIFY, "/api/v%65rify?page=1", "http://x/api/verify")


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (["Content-Length: 20"], b""),
        (["Content-Length: 20"], b"half"),
        (["Content-Length: 5000000"], b"half"),
        (["Transfer-Encoding: chunked"], b""),
        (["Content-Length: 20", "Expect: 100-continue"], b""),
    ],
)
@pytest.mark.gen_test
async def test_a_check_is_answered_at_once_and_closed_if_its_body_is_outstanding(
    api: Api, fields: list[str], body: bytes
) -> None:
    authorization = f"Authorization: {bearer(await api.registered_token())}"
    for path in SPELLINGS:
        async with asyncio.timeout(AT_ONCE):
            [answer] = await answers_to(
                api, raw_request("GET", path, authorization, *fields, body=body)
            )
        assert (answer.status, answer.headers["Connection"]) == (200, "close")


@pytest.mark.parametrize("field", ["Content-Type: image/png", "Content-Encoding: gzip"])
@pytest.mark.gen_test
async def test_a_check_ignores_a_body_of_any_type(api: Api, field: str) -> None:
    authorization = f"Authorization: {bearer(await api.registered_token())}"
    for path in SPELLINGS:
        answer = await answer_to(
            api, raw_request("GET", path, authorization, field, body=b"\x89PNG")
        )
        assert answer.status == 200
        assert "Connection" not in answer.headers


@pytest.mark.gen_test
async def test_the_body_of_a_check_is_never_taken_for_a_request(api: Api, dsn: str) -> None:
    hidden = raw_request("POST", "/api/user/register", JSON, body=REGISTRATION)
    for fields, body in (
        ([f"Content-Length: {len(hidden)}"], hidden),
        ([f"Content-Length: {len(hidden) + 1}"], hidden),
        (["Transfer-Encoding: chunked"], hidden),
    ):
        [answer] = await answers_to(api, raw_request("GET", VERIFY, *fields, body=body, close=True))
        assert (answer.status, answer.problem) == (401, "credentials-missing"), fields
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]
