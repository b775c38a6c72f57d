"""GET and POST /api/user/login: a token in exchange for a password."""

import asyncio
import re
from datetime import UTC, datetime

import bcrypt
import pytest

from handlers.application import Application
from rules.password_scheme import SCHEME
from tests.harness.another_server import another_server
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.blocked_hashes import BlockedHashes
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings, settings_with
from tests.harness.sql import run_sql
from tests.harness.waiting import until

EMAIL = "susan@example.com"
LOGIN = "/api/user/login"
LIFETIME = 86400


async def hash_at_cost(cost: int, keys: list[str], dsn: str, clock: Clock) -> str:
    """Let a server with another cost renew the user's hash; return it."""
    async with another_server(
        settings_with(PASSWORDS__BCRYPT_COST=cost), keys, dsn, clock
    ) as other:
        assert (await other.log_in()).status == 200
    [(stored,)] = run_sql(dsn, "SELECT password_hash FROM users")
    assert stored.startswith(f"{SCHEME}$2b${cost:02d}$")
    return str(stored)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.gen_test
async def test_a_login_returns_a_token_and_its_expiry(api: Api, clock: Clock, method: str) -> None:
    await api.register()
    answer = await api.request(method, LOGIN, authorization=basic(EMAIL, PASSWORD))
    assert answer.status == 200
    assert list(answer.json) == ["token", "expires_at", "expires_in"]
    assert answer.json["expires_in"] == LIFETIME
    expected = datetime.fromtimestamp(clock() + LIFETIME, UTC)
    assert answer.json["expires_at"] == expected.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    user = await api.request("GET", "/api/user", authorization=bearer(answer.json["token"]))
    assert user.status == 200


@pytest.mark.gen_test
async def test_each_login_issues_another_token_and_all_are_valid(api: Api, dsn: str) -> None:
    await api.register()
    tokens = {await api.token() for _ in range(3)}
    assert len(tokens) == 3
    for token in tokens:
        assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE revoked_at IS NULL") == [(3,)]


@pytest.mark.gen_test
async def test_a_token_is_url_safe_and_at_most_160_characters(api: Api) -> None:
    token = await api.registered_token()
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,160}", token)
    assert "." in token


@pytest.mark.parametrize("form", ["Bearer {}", "Basic {}", "base64"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.gen_test
async def test_a_token_cannot_renew_itself(api: Api, dsn: str, method: str, form: str) -> None:
    token = await api.registered_token()
    authorization = basic(token, PASSWORD) if form == "base64" else form.format(token)
    answer = await api.request(method, LOGIN, authorization=authorization)
    assert answer.status == 401
    assert answer.problem == "token-invalid"
    assert 'error="invalid_token"' in answer.headers.get_list("WWW-Authenticate")[1]
    assert run_sql(dsn, "SELECT count(*) FROM tokens") == [(1,)]


@pytest.mark.parametrize("address", ["SUSAN@EXAMPLE.COM", "Susan@example.com"])
@pytest.mark.gen_test
async def test_a_login_ignores_the_case_of_the_address(api: Api, address: str) -> None:
    await api.register()
    assert (await api.log_in(address)).status == 200


@pytest.mark.gen_test
async def test_a_wrong_password_and_an_unknown_address_get_the_same_response(api: Api) -> None:
    await api.register()
    headers = {"X-Request-ID": "same"}
    answers = [
        await api.request("GET", LOGIN, authorization=authorization, headers=headers)
        for authorization in (basic(EMAIL, "wrong password"), basic("no@example.com", PASSWORD))
    ]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content
    assert answers[0].problem == "credentials-invalid"
    differing = {"Date"}
    one, other = (
        {name: value for name, value in answer.headers.get_all() if name not in differing}
        for answer in answers
    )
    assert one == other


@pytest.mark.parametrize(
    "address", ["unknown@example.com", "no address", "", "@", "'; --", "用户@例え.jp"]
)
@pytest.mark.gen_test
async def test_an_unknown_address_takes_a_whole_hash_like_a_wrong_password(
    api: Api, checks: list[bytes], address: str
) -> None:
    await api.register()
    await api.log_in(EMAIL, "wrong password")
    assert (await api.log_in(address)).status == 401
    assert [stored[:7] for stored in checks] == [b"$2b$04$", b"$2b$04$"]


@pytest.mark.gen_test
async def test_a_rejected_login_issues_no_token(api: Api, dsn: str) -> None:
    await api.register()
    await api.log_in(EMAIL, "wrong password")
    await api.request("HEAD", LOGIN, authorization=basic(EMAIL, PASSWORD))
    await api.request("OPTIONS", LOGIN, authorization=basic(EMAIL, PASSWORD))
    assert run_sql(dsn, "SELECT count(*) FROM tokens") == [(0,)]


@pytest.mark.gen_test
async def test_head_of_login_is_405(api: Api) -> None:
    await api.register()
    answer = await api.request("HEAD", LOGIN, authorization=basic(EMAIL, PASSWORD))
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, POST, OPTIONS"


@pytest.mark.parametrize("cost", [5, 6])
@pytest.mark.gen_test
async def test_a_hash_of_another_cost_is_renewed_at_the_next_login(
    api: Api, keys: list[str], dsn: str, clock: Clock, cost: int
) -> None:
    old_token = await api.registered_token()
    [(updated_at,)] = run_sql(dsn, "SELECT updated_at FROM users")
    await hash_at_cost(cost, keys, dsn, clock)
    token = await api.token()
    [(renewed, updated_after)] = run_sql(dsn, "SELECT password_hash, updated_at FROM users")
    assert renewed.startswith(SCHEME + "$2b$04$")
    assert updated_after == updated_at
    for good in (old_token, token, await api.token()):
        assert (await api.request("GET", "/api/user", authorization=bearer(good))).status == 200
    assert run_sql(dsn, "SELECT password_hash FROM users") == [(renewed,)]


@override_settings(PASSWORDS__WORKERS=1)
@pytest.mark.gen_test
async def test_a_hash_is_not_renewed_while_others_wait(
    app: Application,
    api: Api,
    keys: list[str],
    dsn: str,
    clock: Clock,
    *,
    hashes: BlockedHashes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashes.may_continue.set()
    await api.register()
    other = await hash_at_cost(5, keys, dsn, clock)
    hashes.may_continue.clear()
    made: list[bytes] = []
    make = bcrypt.hashpw

    def recorded(password: bytes, salt: bytes) -> bytes:
        made.append(salt)
        return make(password, salt)

    monkeypatch.setattr("rules.password_scheme.bcrypt.hashpw", recorded)
    log_ins = [asyncio.create_task(api.log_in()) for _ in range(5)]
    await until(lambda: app.services.hash_queue.waiting == 4)
    hashes.may_continue.set()
    assert [(await log_in).status for log_in in log_ins] == [200] * 5
    # For the last one the worker was free.
    assert len(made) == 1
    assert run_sql(dsn, "SELECT password_hash FROM users") != [(other,)]


@pytest.mark.gen_test
async def test_a_hash_of_another_cost_is_not_renewed_by_a_wrong_password(
    api: Api, keys: list[str], dsn: str, clock: Clock
) -> None:
    await api.register()
    other = await hash_at_cost(5, keys, dsn, clock)
    assert (await api.log_in(EMAIL, "wrong password")).status == 401
    assert run_sql(dsn, "SELECT password_hash FROM users") == [(other,)]


@pytest.mark.gen_test
async def test_concurrent_logins_renew_a_hash_and_all_succeed(
    api: Api, keys: list[str], dsn: str, clock: Clock
) -> None:
    await api.register()
    await hash_at_cost(5, keys, dsn, clock)
    answers = await asyncio.gather(*(api.log_in() for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert (await api.log_in()).status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.gen_test
async def test_a_login_takes_a_whole_hash_each_time(
    api: Api, checks: list[bytes], method: str
) -> None:
    await api.register()
    for _ in range(3):
        answer = await api.request(method, LOGIN, authorization=basic(EMAIL, PASSWORD))
        assert answer.status == 200
    assert len(checks) == 3


@pytest.mark.gen_test
async def test_a_password_does_not_expire(api: Api, clock: Clock) -> None:
    await api.register()
    clock.advance(20 * 365 * 86_400)
    assert (await api.log_in()).status == 200


@pytest.mark.parametrize("authorization", [None, "Digest x", basic("susan@example.com", "wrong")])
@pytest.mark.gen_test
async def test_the_detail_of_a_rejected_login_offers_no_token(
    api: Api, authorization: str | None
) -> None:
    await api.register()
    answer = await api.request("GET", "/api/user/login", authorization=authorization)
    assert answer.status == 401
    assert "token" not in answer.json["detail"]


ACCOUNT = {"email": EMAIL, "password": PASSWORD}


@pytest.mark.gen_test
async def test_a_json_body_logs_in_as_basic_does(api: Api, dsn: str) -> None:
    await api.register()
    answer = await api.request("POST", LOGIN, json_body={**ACCOUNT, "email": "SUSAN@example.com"})
    assert (answer.status, list(answer.json)) == (200, ["token", "expires_at", "expires_in"])
    user = await api.request("GET", "/api/user", authorization=bearer(answer.json["token"]))
    assert user.status == 200
    assert run_sql(dsn, "SELECT kind FROM events ORDER BY id DESC LIMIT 1") == [("logged-in",)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**ACCOUNT, "password": "wrong"}, 401),
        ({**ACCOUNT, "email": "unknown@example.com"}, 401),
        ({**ACCOUNT, "email": "susan@example.com\x00"}, 401),
        ({"email": EMAIL}, 422),
        ({"password": PASSWORD}, 422),
        ({}, 422),
        ({**ACCOUNT, "name": "Susan"}, 422),
        ({**ACCOUNT, "password": 5}, 422),
        ({**ACCOUNT, "email": "x" * 5000}, 422),
        ([], 400),
    ],
)
@pytest.mark.gen_test
async def test_a_json_body_that_is_no_login_is_rejected(
    api: Api, dsn: str, body: object, status: int
) -> None:
    await api.register()
    assert (await api.request("POST", LOGIN, json_body=body)).status == status
    assert run_sql(dsn, "SELECT count(*) FROM tokens") == [(0,)]


@pytest.mark.gen_test
async def test_a_wrong_password_in_a_json_body_counts_as_a_failure(api: Api) -> None:
    await api.register()
    statuses = [
        (await api.request("POST", LOGIN, json_body={**ACCOUNT, "password": "wrong"})).status
        for _ in range(11)
    ]
    assert statuses == [401] * 10 + [429]


@pytest.mark.gen_test
async def test_a_login_with_authorization_and_a_json_body_is_400(api: Api, dsn: str) -> None:
    await api.register()
    for body, status in ((ACCOUNT, 400), ({"email": EMAIL}, 400), ({}, 200)):
        answer = await api.request(
            "POST", LOGIN, authorization=basic(EMAIL, PASSWORD), json_body=body
        )
        assert answer.status == status
    assert run_sql(dsn, "SELECT count(*) FROM tokens") == [(1,)]


@pytest.mark.gen_test
async def test_of_a_login_with_both_authorization_is_checked_first(api: Api, dsn: str) -> None:
    await api.register()
    answer = await api.request(
        "POST", LOGIN, authorization=basic(EMAIL, "wrong password"), json_body=ACCOUNT
    )
    assert (answer.status, answer.problem) == (401, "credentials-invalid")
    assert run_sql(dsn, "SELECT count(*) FROM events WHERE kind = 'password-failed'") == [(1,)]
    assert run_sql(dsn, "SELECT count(*) FROM tokens") == [(0,)]


@pytest.mark.gen_test
async def test_get_does_not_log_in_by_a_body(api: Api) -> None:
    await api.register()
    assert (await api.request("GET", LOGIN, json_body=ACCOUNT)).status == 401
