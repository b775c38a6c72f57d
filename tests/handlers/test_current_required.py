"""passwords.current_required: a token alone neither takes over nor destroys an account."""

from collections.abc import Mapping

import pytest

from handlers.application import Application
from ops.request_log import RequestRecord
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.configuration import override_settings

EMAIL = "susan@example.com"
WRONG = "not the password"
MISSING = [{"field": "current_password", "message": "is required"}]

required = override_settings(PASSWORDS__CURRENT_REQUIRED=True)
# The status of each DELETE that succeeds.
STATUSES = {"/api/user": 200, "/api/user/tokens": 200, "one token": 204}
destroying = pytest.mark.parametrize("path", STATUSES)


async def delete(
    api: Api, path: str, authorization: str, body: Mapping[str, object] | None = None
) -> Answer:
    """Send a DELETE; "one token" stands for the path of another token of the user."""
    if path == "one token":
        await api.token(EMAIL)
        listed = await api.request("GET", "/api/user/tokens", authorization=authorization)
        other = next(row for row in listed.json["tokens"] if not row["current"])
        path = f"/api/user/tokens/{other['id']}"
    return await api.request("DELETE", path, authorization=authorization, json_body=body)


async def is_good(api: Api, token: str) -> bool:
    answer = await api.request("GET", "/api/user", authorization=bearer(token))
    return answer.status == 200


@required
@destroying
@pytest.mark.gen_test
async def test_a_token_alone_is_rejected(api: Api, path: str) -> None:
    token = await api.registered_token(EMAIL)
    for body in (None, {}, {"current_password": None}):
        answer = await delete(api, path, bearer(token), body)
        assert (answer.status, answer.json["errors"]) == (422, MISSING)
    assert await is_good(api, token)


@required
@destroying
@pytest.mark.gen_test
async def test_a_token_and_the_current_password_are_accepted(api: Api, path: str) -> None:
    token = await api.registered_token(EMAIL)
    answer = await delete(api, path, bearer(token), {"current_password": PASSWORD})
    assert answer.status == STATUSES[path]


@required
@destroying
@pytest.mark.gen_test
async def test_email_and_password_are_accepted(api: Api, path: str) -> None:
    await api.registered_token(EMAIL)
    assert (await delete(api, path, basic(EMAIL, PASSWORD))).status == STATUSES[path]


@required
@pytest.mark.gen_test
async def test_email_and_password_change_the_password(api: Api) -> None:
    await api.register(EMAIL)
    changed = await api.request(
        "PATCH",
        "/api/user",
        authorization=basic(EMAIL, PASSWORD),
        json_body={"password": "another password"},
    )
    assert changed.status == 200


@required
@pytest.mark.gen_test
async def test_keeping_the_presented_token_requires_the_password(api: Api) -> None:
    token = await api.registered_token(EMAIL)
    answer = await delete(api, "/api/user/tokens?keep_current=true", bearer(token))
    assert (answer.status, answer.json["errors"]) == (422, MISSING)


@required
@pytest.mark.gen_test
async def test_a_token_alone_revokes_itself(api: Api) -> None:
    first = await api.registered_token(EMAIL)
    second = await api.token(EMAIL)
    listed = await api.request("GET", "/api/user/tokens", authorization=bearer(second))
    [own] = [row["id"] for row in listed.json["tokens"] if row["current"]]
    assert (await delete(api, f"/api/user/tokens/{own}", bearer(second))).status == 204
    logout = await api.request("POST", "/api/user/logout", authorization=bearer(first))
    assert logout.status == 204


@pytest.mark.parametrize("settings", [{}, {"PASSWORDS__CURRENT_REQUIRED": True}], indirect=True)
@destroying
@pytest.mark.gen_test
async def test_a_wrong_current_password_changes_nothing_and_counts_as_a_failure(
    api: Api, path: str
) -> None:
    token = await api.registered_token(EMAIL)
    if path == "one token":
        listed = await api.request("GET", "/api/user/tokens", authorization=bearer(token))
        path = f"/api/user/tokens/{listed.json['tokens'][0]['id']}"
    for _ in range(10):
        answer = await delete(api, path, bearer(token), {"current_password": WRONG})
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, "current_password")
    right = await delete(api, path, bearer(token), {"current_password": PASSWORD})
    assert (right.status, right.problem) == (429, "too-many-tries")
    assert await is_good(api, token)


@destroying
@pytest.mark.gen_test
async def test_without_the_setting_a_token_is_enough(api: Api, path: str) -> None:
    token = await api.registered_token(EMAIL)
    assert (await delete(api, path, bearer(token))).status == STATUSES[path]


@destroying
@pytest.mark.gen_test
async def test_without_the_setting_a_sent_password_is_verified(api: Api, path: str) -> None:
    token = await api.registered_token(EMAIL)
    answer = await delete(api, path, bearer(token), {"current_password": PASSWORD})
    assert answer.status == STATUSES[path]


@pytest.mark.parametrize(("method", "path"), [("PATCH", "/api/user"), ("DELETE", "/api/user")])
@pytest.mark.gen_test
async def test_a_guess_with_a_token_is_logged_with_the_address(
    api: Api, app: Application, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    token = await api.registered_token(EMAIL)
    records: list[RequestRecord] = []
    monkeypatch.setattr(app.request_log, "write", records.append)
    more = {"name": "Susan"} if method == "PATCH" else {}
    for password in (WRONG, 1):
        body = {"current_password": password, **more}
        await api.request(method, path, authorization=bearer(token), json_body=body)
    assert [(record.status, record.ip) for record in records] == [(422, "127.0.0.1"), (422, None)]
