"""GET /api/verify: the check of a proxy."""

from urllib.parse import unquote

import pytest

from handlers.application import Application
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.sql import run_sql

VERIFY = "/api/verify"
FIELDS = ("X-Auth-User-Id", "X-Auth-Email", "X-Auth-Name")


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
            assert found == [user["id"], user["email"], user["name"] or ""]
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
