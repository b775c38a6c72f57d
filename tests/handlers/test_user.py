"""GET and PATCH /api/user."""

import pytest

from tests.harness.api import PASSWORD, Answer, Api, basic, bearer, rejected_fields
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
NEW_PASSWORD = "another horse battery"


async def read(api: Api, token: str) -> Answer:
    return await api.request("GET", "/api/user", authorization=bearer(token))


async def change(api: Api, authorization: str, **fields: object) -> Answer:
    return await api.request("PATCH", "/api/user", authorization=authorization, json_body=fields)


async def statuses(api: Api, *tokens: str) -> list[int]:
    return [(await read(api, token)).status for token in tokens]


@pytest.mark.gen_test
async def test_the_user_is_the_authenticated_one(api: Api) -> None:
    tokens = {
        email: await api.registered_token(email) for email in ("one@example.com", "two@example.com")
    }
    for email, token in tokens.items():
        assert (await read(api, token)).json["email"] == email


@pytest.mark.gen_test
async def test_a_change_of_the_name_changes_nothing_else(api: Api, dsn: str) -> None:
    token = await api.registered_token()
    before = (await read(api, token)).json
    answer = await change(api, bearer(token), name=" Susan \u3000Miller ")
    assert answer.status == 200
    assert answer.json == {
        **before,
        "name": "Susan \u3000Miller",
        "updated_at": answer.json["updated_at"],
    }
    assert run_sql(dsn, "SELECT updated_at > created_at FROM users") == [(True,)]
    assert (await read(api, token)).json == answer.json


@pytest.mark.gen_test
async def test_a_null_name_removes_it(api: Api) -> None:
    await api.register(name="Susan")
    token = await api.token()
    assert (await change(api, bearer(token), name=None)).json["name"] is None
    assert (await read(api, token)).json["name"] is None


@pytest.mark.gen_test
async def test_a_change_without_a_name_keeps_it(api: Api) -> None:
    await api.register(name="Susan")
    answer = await change(api, bearer(await api.token()), password=NEW_PASSWORD)
    assert answer.json["name"] == "Susan"


@pytest.mark.gen_test
async def test_a_new_name_revokes_no_token(api: Api) -> None:
    first = await api.registered_token()
    second = await api.token()
    await change(api, bearer(first), name="Susan")
    await change(api, basic(EMAIL, PASSWORD), name="Susan")
    assert await statuses(api, first, second) == [200, 200]


@pytest.mark.parametrize("form", ["Bearer {}", "Basic {}"])
@pytest.mark.gen_test
async def test_a_new_password_revokes_every_token_except_the_presented_one(
    api: Api, dsn: str, form: str
) -> None:
    presented = await api.registered_token()
    others = [await api.token(), await api.token()]
    stranger = await api.registered_token("other@example.com")
    answer = await change(api, form.format(presented), password=NEW_PASSWORD)
    assert answer.status == 200
    assert answer.json["email"] == EMAIL
    assert await statuses(api, presented, *others, stranger) == [200, 401, 401, 200]
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE revoked_at IS NOT NULL") == [(2,)]


@pytest.mark.gen_test
async def test_a_new_password_set_by_password_revokes_all_tokens(api: Api) -> None:
    tokens = [await api.registered_token(), await api.token()]
    answer = await change(api, basic(EMAIL, PASSWORD), password=NEW_PASSWORD)
    assert answer.status == 200
    assert await statuses(api, *tokens) == [401, 401]


@pytest.mark.gen_test
async def test_only_the_new_password_logs_in_after_a_change(api: Api) -> None:
    token = await api.registered_token()
    await change(api, bearer(token), password=NEW_PASSWORD)
    assert (await api.log_in(EMAIL, PASSWORD)).status == 401
    assert (await api.log_in(EMAIL, NEW_PASSWORD)).status == 200


@pytest.mark.gen_test
async def test_the_same_password_again_is_a_change(api: Api) -> None:
    presented = await api.registered_token()
    other = await api.token()
    assert (await change(api, bearer(presented), password=PASSWORD)).status == 200
    assert await statuses(api, presented, other) == [200, 401]


@pytest.mark.gen_test
async def test_a_token_revoked_by_a_change_is_rejected_as_invalid(api: Api) -> None:
    token = await api.registered_token()
    await change(api, basic(EMAIL, PASSWORD), password=NEW_PASSWORD)
    answer = await read(api, token)
    assert (answer.status, answer.problem) == (401, "token-invalid")
    assert 'error="invalid_token"' in answer.headers.get_list("WWW-Authenticate")[1]


@pytest.mark.gen_test
async def test_name_and_password_are_changed_together(api: Api) -> None:
    token = await api.registered_token()
    answer = await change(api, bearer(token), name="Susan", password=NEW_PASSWORD)
    assert answer.json["name"] == "Susan"
    assert (await api.log_in(EMAIL, NEW_PASSWORD)).status == 200


@pytest.mark.parametrize(
    ("fields", "rejected"),
    [
        ({"name": "", "password": NEW_PASSWORD}, ["name"]),
        ({"name": "Susan", "password": "short"}, ["password"]),
        ({"name": "", "password": "short"}, ["name", "password"]),
        ({"name": "x" * 201}, ["name"]),
        ({"name": "a\x00b"}, ["name"]),
        ({"email": "new@example.com", "password": NEW_PASSWORD}, ["email"]),
        ({"id": "x", "name": "Susan"}, ["id"]),
        ({"password": None}, ["password"]),
        ({"password": 12345678}, ["password"]),
        ({"password": ["long enough"]}, ["password"]),
        ({"name": 5}, ["name"]),
        ({"name": True, "password": NEW_PASSWORD}, ["name"]),
        ({"name": {"first": "Susan"}}, ["name"]),
        ({}, ["body"]),
    ],
)
@pytest.mark.gen_test
async def test_a_rejected_change_changes_nothing(
    api: Api, fields: dict[str, object], rejected: list[str]
) -> None:
    await api.register(name="Before")
    tokens = [await api.token(), await api.token()]
    before = (await read(api, tokens[0])).json
    answer = await change(api, bearer(tokens[0]), **fields)
    assert sorted(rejected_fields(answer)) == rejected
    assert (await read(api, tokens[0])).json == before
    assert await statuses(api, *tokens) == [200, 200]
    assert (await api.log_in()).status == 200


@pytest.mark.gen_test
async def test_a_change_affects_no_other_user(api: Api) -> None:
    token = await api.registered_token()
    other = await api.registered_token("other@example.com")
    before = (await read(api, other)).json
    await change(api, bearer(token), name="Susan", password=NEW_PASSWORD)
    assert (await read(api, other)).json == before
    assert (await api.log_in("other@example.com")).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
@pytest.mark.gen_test
async def test_every_call_on_the_user_requires_credentials(api: Api, dsn: str, method: str) -> None:
    await api.register()
    body = {"name": "Susan"} if method == "PATCH" else None
    answer = await api.request(method, "/api/user", json_body=body)
    assert answer.status == 401
    assert run_sql(dsn, "SELECT email, name FROM users") == [(EMAIL, None)]
