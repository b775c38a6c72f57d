"""DELETE /api/user: the user is deleted, with all personal data."""

import pytest

from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.sql import all_text, run_sql

EMAIL = "Susan.Miller@example.com"
NAME = "Susan Émilie Miller"


@pytest.mark.parametrize("form", ["token", "password"])
@pytest.mark.gen_test
async def test_a_deletion_returns_an_empty_object_and_the_user_is_deleted(
    api: Api, form: str
) -> None:
    token = await api.registered_token(EMAIL)
    authorization = bearer(token) if form == "token" else basic(EMAIL, PASSWORD)
    answer = await api.request("DELETE", "/api/user", authorization=authorization)
    assert answer.status == 200
    assert answer.json == {}
    assert (await api.log_in(EMAIL)).status == 401


@pytest.mark.gen_test
async def test_a_deletion_revokes_every_token_of_the_user(api: Api) -> None:
    tokens = [await api.registered_token(EMAIL), await api.token(EMAIL)]
    await api.request("DELETE", "/api/user", authorization=bearer(tokens[0]))
    for token in tokens:
        for method in ("GET", "DELETE"):
            answer = await api.request(method, "/api/user", authorization=bearer(token))
            assert (answer.status, answer.problem) == (401, "token-invalid")
            assert 'error="invalid_token"' in answer.headers.get_list("WWW-Authenticate")[1]


@pytest.mark.gen_test
async def test_nothing_personal_remains_in_the_database(api: Api, dsn: str) -> None:
    user_id = (await api.register(EMAIL, name=NAME)).json["id"]
    tokens = [await api.token(EMAIL), await api.token(EMAIL)]
    [(key, stored)] = run_sql(dsn, "SELECT email_key, password_hash FROM users")
    personal = [EMAIL, key, NAME, stored, user_id, PASSWORD]
    before = all_text(dsn)
    assert [text for text in personal if text in before] == [EMAIL, key, NAME, stored, user_id]
    await api.request("DELETE", "/api/user", authorization=bearer(tokens[0]))
    after = all_text(dsn)
    # The audit trail holds the user's id, which identifies no person now.
    assert [text for text in personal if text.lower() in after.lower()] == [user_id]
    run_sql(dsn, "DELETE FROM events")
    assert user_id not in all_text(dsn)


@pytest.mark.gen_test
async def test_token_rows_remain_revoked_without_the_user(api: Api, dsn: str) -> None:
    await api.registered_token(EMAIL)
    token = await api.token(EMAIL)
    expiries = run_sql(dsn, "SELECT expires_at FROM tokens ORDER BY id")
    await api.request("DELETE", "/api/user", authorization=bearer(token))
    rows = run_sql(dsn, "SELECT expires_at FROM tokens ORDER BY id")
    assert rows == expiries
    assert run_sql(
        dsn, "SELECT count(*) FROM tokens WHERE user_id IS NULL AND revoked_at IS NOT NULL"
    ) == [(2,)]


@pytest.mark.gen_test
async def test_the_address_is_free_again_and_old_tokens_stay_revoked(api: Api) -> None:
    old = (await api.register(EMAIL, name=NAME)).json
    token = await api.token(EMAIL)
    await api.request("DELETE", "/api/user", authorization=bearer(token))
    new = await api.register(EMAIL)
    assert new.status == 201
    assert new.json["id"] != old["id"]
    assert new.json["name"] is None
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401


@pytest.mark.gen_test
async def test_a_deletion_affects_no_other_user(api: Api) -> None:
    other = await api.registered_token("other@example.com")
    token = await api.registered_token(EMAIL)
    await api.request("DELETE", "/api/user", authorization=bearer(token))
    assert (await api.request("GET", "/api/user", authorization=bearer(other))).status == 200
    assert (await api.log_in("other@example.com")).status == 200


@pytest.mark.parametrize(("body", "status"), [({"really": True}, 422), ([], 400)])
@pytest.mark.gen_test
async def test_a_deletion_with_an_invalid_body_deletes_nothing(
    api: Api, body: object, status: int
) -> None:
    token = await api.registered_token(EMAIL)
    answer = await api.request("DELETE", "/api/user", authorization=bearer(token), json_body=body)
    assert answer.status == status
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200
