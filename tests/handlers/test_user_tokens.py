"""The user's tokens: log out, list, revoke one, revoke all."""

import asyncio
import uuid

import pytest

from handlers.application import Application
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
BY_PASSWORD = basic(EMAIL, PASSWORD)
TOKENS = "/api/user/tokens"


async def log_in(api: Api, agent: str) -> str:
    answer = await api.request(
        "POST", "/api/user/login", authorization=BY_PASSWORD, headers={"User-Agent": agent}
    )
    return str(answer.json["token"])


async def listed(api: Api, authorization: str) -> list[dict[str, object]]:
    answer = await api.request("GET", TOKENS, authorization=authorization)
    assert answer.status == 200
    assert set(answer.json) == {"tokens"}
    return list(answer.json["tokens"])


async def status(api: Api, token: str) -> int:
    return (await api.request("GET", "/api/user", authorization=bearer(token))).status


@pytest.mark.gen_test
async def test_a_logout_revokes_only_the_presented_token(api: Api) -> None:
    first = await api.registered_token()
    second = await api.token()
    answer = await api.request("POST", "/api/user/logout", authorization=bearer(first))
    assert answer.status == 204
    assert [await status(api, first), await status(api, second)] == [401, 200]
    again = await api.request("POST", "/api/user/logout", authorization=bearer(first))
    assert (again.status, again.problem) == (401, "token-invalid")


@pytest.mark.parametrize("password", [PASSWORD, "wrong password"])
@pytest.mark.gen_test
async def test_a_logout_by_password_is_401_and_costs_no_hash(
    api: Api, checks: list[bytes], password: str
) -> None:
    token = await api.registered_token()
    checks.clear()
    answer = await api.request("POST", "/api/user/logout", authorization=basic(EMAIL, password))
    assert (answer.status, answer.problem) == (401, "credentials-invalid")
    assert checks == []
    assert await status(api, token) == 200


@pytest.mark.gen_test
async def test_the_list_shows_where_tokens_were_used_newest_first(api: Api, clock: Clock) -> None:
    await api.register()
    first = await log_in(api, "My laptop")
    clock.advance(90)
    second = await log_in(api, "My phone\u00e9")
    rows = await listed(api, bearer(first))
    assert [row["user_agent"] for row in rows] == ["My phone\u00e9", "My laptop"]
    assert [row["current"] for row in rows] == [False, True]
    assert [row["kind"] for row in rows] == ["token", "token"]
    assert [row["id"] for row in rows] == [second.split(".")[0], first.split(".")[0]]
    assert rows[0]["ip"] == "127.0.0.1"
    assert set(rows[0]) == {
        *("id", "created_at", "expires_at", "last_used_at", "user_agent", "ip", "current", "kind")
    }
    assert rows[1]["created_at"] == "2027-01-15T08:00:00.000Z"
    assert rows[1]["expires_at"] == "2027-01-16T08:00:00.000Z"
    assert [row["current"] for row in await listed(api, BY_PASSWORD)] == [False, False]


@pytest.mark.gen_test
async def test_the_list_has_only_the_users_valid_tokens(api: Api, clock: Clock) -> None:
    other = await api.registered_token("other@example.com")
    old = await api.registered_token()
    clock.advance(86400)
    gone, token = await api.token(), await api.token()
    await api.request("POST", "/api/user/logout", authorization=bearer(gone))
    assert [row["id"] for row in await listed(api, bearer(token))] == [token.split(".")[0]]
    for rejected in (old, gone, other):
        answer = await api.request("GET", TOKENS, authorization=bearer(rejected))
        assert answer.status == 401


@pytest.mark.gen_test
async def test_the_last_use_of_a_token_is_shown_to_the_minute(
    api: Api, app: Application, clock: Clock
) -> None:
    token = await api.registered_token()
    assert (await listed(api, BY_PASSWORD))[0]["last_used_at"] is None
    clock.advance(125)
    await status(api, token)
    await app.services.usage.write()
    assert (await listed(api, BY_PASSWORD))[0]["last_used_at"] == "2027-01-15T08:02:00.000Z"
    clock.advance(50)
    await status(api, token)
    await app.services.usage.write()
    assert (await listed(api, BY_PASSWORD))[0]["last_used_at"] == "2027-01-15T08:02:00.000Z"


@pytest.mark.gen_test
async def test_a_token_is_revoked_by_its_id(api: Api) -> None:
    first, second = await api.registered_token(), await api.token()
    path = f"{TOKENS}/{first.split('.')[0]}"
    assert (await api.request("DELETE", path, authorization=bearer(second))).status == 204
    assert [await status(api, first), await status(api, second)] == [401, 200]
    again = await api.request("DELETE", path, authorization=bearer(second))
    assert (again.status, again.problem) == (404, "not-found")


@pytest.mark.gen_test
async def test_a_token_may_revoke_itself(api: Api) -> None:
    token = await api.registered_token()
    path = f"{TOKENS}/{token.split('.')[0]}"
    assert (await api.request("DELETE", path, authorization=bearer(token))).status == 204
    assert await status(api, token) == 401


@pytest.mark.parametrize("form", ["another user's", "unknown", "no id", "in capitals", "expired"])
@pytest.mark.gen_test
async def test_revoking_any_other_token_is_404_and_changes_nothing(
    api: Api, clock: Clock, form: str
) -> None:
    old = await api.registered_token()
    clock.advance(86400)
    token = await api.token()
    theirs = await api.registered_token("other@example.com")
    name = {
        "another user's": theirs.split(".")[0],
        "unknown": str(uuid.uuid4()),
        "no id": "x%00'",
        "in capitals": token.split(".")[0].upper(),
        "expired": old.split(".")[0],
    }[form]
    answer = await api.request("DELETE", f"{TOKENS}/{name}", authorization=bearer(token))
    assert (answer.status, answer.problem) == (404, "not-found")
    assert [await status(api, token), await status(api, theirs)] == [200, 200]


@pytest.mark.parametrize(
    ("query", "revoked", "statuses"),
    [
        ("", 3, [401, 401, 401]),
        ("?keep_current=false", 3, [401, 401, 401]),
        ("?keep_current=true", 2, [401, 401, 200]),
    ],
)
@pytest.mark.gen_test
async def test_all_tokens_are_revoked_except_the_one_to_keep(
    api: Api, query: str, revoked: int, statuses: list[int]
) -> None:
    tokens = [await api.registered_token(), await api.token(), await api.token()]
    theirs = await api.registered_token("other@example.com")
    answer = await api.request("DELETE", TOKENS + query, authorization=bearer(tokens[2]))
    assert (answer.status, answer.json) == (200, {"revoked": revoked})
    assert [await status(api, token) for token in tokens] == statuses
    assert await status(api, theirs) == 200


@pytest.mark.gen_test
async def test_with_a_password_all_tokens_are_revoked(api: Api, clock: Clock) -> None:
    await api.registered_token()
    clock.advance(86400)
    token = await api.token()
    answer = await api.request("DELETE", TOKENS + "?keep_current=true", authorization=BY_PASSWORD)
    # The expired one is not counted.
    assert answer.json == {"revoked": 1}
    assert await status(api, token) == 401


@pytest.mark.parametrize(
    "query",
    [
        "?keep_current=yes",
        "?keep_current=",
        "?keep_current=+true",
        "?keep_current=true&keep_current=true",
    ],
)
@pytest.mark.gen_test
async def test_an_invalid_flag_is_422_and_revokes_nothing(api: Api, query: str) -> None:
    token = await api.registered_token()
    answer = await api.request("DELETE", TOKENS + query, authorization=bearer(token))
    assert answer.status == 422
    assert [error["field"] for error in answer.json["errors"]] == ["keep_current"]
    assert await status(api, token) == 200


@override_settings(TOKENS__MAX_PER_USER=3)
@pytest.mark.gen_test
async def test_a_further_login_revokes_the_oldest_token(api: Api, clock: Clock) -> None:
    await api.register()
    theirs = await api.registered_token("other@example.com")
    tokens = []
    for _ in range(5):
        tokens.append(await api.token())
        clock.advance(1)
    assert [await status(api, token) for token in tokens] == [401, 401, 200, 200, 200]
    assert await status(api, theirs) == 200


@override_settings(TOKENS__MAX_PER_USER=3)
@pytest.mark.gen_test
async def test_concurrent_logins_never_leave_more_tokens_than_allowed(api: Api) -> None:
    await api.register()
    tokens = await asyncio.gather(*(api.token() for _ in range(20)))
    statuses = [await status(api, token) for token in tokens]
    assert statuses.count(200) == 3


@pytest.mark.gen_test
async def test_personal_data_of_tokens_is_deleted_with_the_user(
    api: Api, app: Application, dsn: str
) -> None:
    await api.register()
    token = await log_in(api, "My laptop")
    await status(api, token)
    await app.services.usage.write()
    await status(api, token)
    assert (await api.request("DELETE", "/api/user", authorization=bearer(token))).status == 200
    await app.services.usage.write()
    assert run_sql(dsn, "SELECT user_id, user_agent, ip, last_used_at FROM tokens") == [
        (None, None, None, None)
    ]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/user/logout"), ("GET", TOKENS), ("DELETE", TOKENS), ("DELETE", TOKENS + "/x")],
)
@pytest.mark.gen_test
async def test_a_call_without_credentials_is_401(api: Api, method: str, path: str) -> None:
    answer = await api.request(method, path)
    assert (answer.status, answer.problem) == (401, "credentials-missing")


@pytest.mark.gen_test
async def test_options_lists_the_methods_of_a_token(api: Api) -> None:
    answer = await api.request("OPTIONS", f"{TOKENS}/{uuid.uuid4()}")
    assert (answer.status, answer.headers["Allow"]) == (204, "DELETE, OPTIONS")
