"""Floods of allowed requests, during which other users are served."""

import asyncio
import time
from collections import Counter

import pytest

from rules.write_turns import MAX_WAITING
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.blocked_hashes import BlockedHashes
from tests.harness.configuration import override_settings
from tests.harness.row_locks import holding
from tests.harness.sql import run_sql
from tests.harness.waiting import until

EMAIL, OTHER = "susan@example.com", "peter@example.com"
HOME = "198.51.100.7"


def rename(api: Api, token: str, name: str = "Susan") -> "asyncio.Task[Answer]":
    return asyncio.create_task(
        api.request("PATCH", "/api/user", authorization=bearer(token), json_body={"name": name})
    )


@pytest.mark.gen_test
async def test_a_flood_of_writes_by_one_user_holds_one_connection_and_slows_no_other(
    api: Api, dsn: str
) -> None:
    token = await api.registered_token(EMAIL)
    await api.register(OTHER)
    with holding(dsn, "SELECT 1 FROM users WHERE email = %s FOR UPDATE", (EMAIL,)) as holder:
        flood = [rename(api, token, f"Susan {number}") for number in range(40)]
        await until(lambda: sum(task.done() for task in flood) == 40 - 1 - MAX_WAITING)
        await holder.sees_waiting(next(task for task in flood if not task.done()))
        assert (await api.log_in(OTHER)).status == 200
        holder.commit()
    answers = await asyncio.gather(*flood)
    assert Counter(answer.status for answer in answers) == {
        200: 1 + MAX_WAITING,
        429: 40 - 1 - MAX_WAITING,
    }
    rejected = [answer.problem for answer in answers if answer.status == 429]
    assert set(rejected) == {"too-many-writes"}


@override_settings(THROTTLE__HASHES_PER_MINUTE=3)
@pytest.mark.gen_test
async def test_correct_passwords_use_up_a_budget_of_hashes_and_wrong_ones_do_not(
    api: Api,
) -> None:
    await api.register(EMAIL)
    await api.register(OTHER)
    for _ in range(5):
        assert (await api.log_in(EMAIL, "wrong password")).status == 401
    began = time.monotonic()
    token = await api.token(EMAIL)
    assert [(await api.log_in(EMAIL)).status for _ in range(3)] == [200, 200, 429]
    rejected = await api.log_in(EMAIL)
    assert rejected.problem == "too-many-tries"
    assert 20 - (time.monotonic() - began) <= int(rejected.headers["Retry-After"]) <= 20
    assert (await api.log_in(OTHER)).status == 200
    answer = await api.request("GET", "/api/user", authorization=bearer(token))
    assert answer.status == 200
    # A cached password takes no hash.
    answer = await api.request("GET", "/api/user", authorization=basic(EMAIL, PASSWORD))
    assert answer.status == 200


@override_settings(THROTTLE__HASHES_PER_MINUTE=3)
@pytest.mark.gen_test
async def test_new_passwords_use_up_the_same_budget(api: Api) -> None:
    token = await api.registered_token(EMAIL)
    changes = [
        await api.request(
            "PATCH",
            "/api/user",
            authorization=bearer(token),
            json_body={"password": f"new horse battery {number}"},
        )
        for number in range(3)
    ]
    assert [answer.status for answer in changes] == [200, 200, 429]
    answer = await api.log_in(EMAIL, "new horse battery 1")
    assert (answer.status, answer.problem) == (429, "too-many-tries")
    # A name takes no hash.
    assert (await rename(api, token)).status == 200


@override_settings(THROTTLE__WRITES_PER_MINUTE=3)
@pytest.mark.gen_test
async def test_a_stolen_token_cannot_keep_its_owner_from_writing(api: Api) -> None:
    stolen = await api.registered_token(EMAIL)
    own = await api.token(EMAIL)
    statuses = [(await rename(api, stolen, str(number))).status for number in range(4)]
    assert statuses == [200, 200, 200, 429]
    for method, path in (
        ("DELETE", "/api/user"),
        ("DELETE", "/api/user/tokens"),
        ("DELETE", "/api/user/tokens/x"),
    ):
        answer = await api.request(method, path, authorization=bearer(stolen))
        assert (answer.status, answer.problem) == (429, "too-many-writes"), path
    answer = await api.request(
        "DELETE", "/api/user/tokens?keep_current=true", authorization=bearer(own)
    )
    assert (answer.status, answer.json) == (200, {"revoked": 1})
    answer = await api.request("GET", "/api/user", authorization=bearer(stolen))
    assert answer.status == 401


@pytest.mark.gen_test
async def test_a_logout_is_not_delayed_by_waiting_writes(api: Api, dsn: str) -> None:
    stolen = await api.registered_token(EMAIL)
    own = await api.token(EMAIL)
    with holding(dsn, "SELECT 1 FROM users FOR UPDATE") as holder:
        flood = [rename(api, stolen, f"Susan {number}") for number in range(20)]
        await until(lambda: sum(task.done() for task in flood) == 20 - 1 - MAX_WAITING)
        answer = await api.request("POST", "/api/user/logout", authorization=bearer(own))
        assert answer.status == 204
        holder.commit()
    await asyncio.gather(*flood)


@pytest.mark.gen_test
async def test_a_token_is_revoked_by_the_first_of_many_logouts(api: Api, dsn: str) -> None:
    token = await api.registered_token(EMAIL)
    flood = [
        api.request("POST", "/api/user/logout", authorization=bearer(token)) for _ in range(40)
    ]
    statuses = {answer.status for answer in await asyncio.gather(*flood)}
    assert 204 in statuses
    assert statuses <= {204, 401}
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE revoked_at IS NULL") == [(0,)]


@override_settings(SERVER__TRUSTED_PROXIES="127.0.0.0/8", PASSWORDS__WORKERS=1)
@pytest.mark.gen_test
async def test_a_login_from_the_usual_network_is_served_beside_a_full_queue(
    api: Api, hashes: BlockedHashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes.may_continue.set()
    await api.register(EMAIL)
    assert (await api.log_in(EMAIL, ip=HOME)).status == 200
    monkeypatch.setattr("rules.hash_queue.MAX_TICKETS", 4)
    hashes.may_continue.clear()
    flood = [
        asyncio.create_task(api.log_in(f"unknown{number}@example.com", "x", ip=f"192.0.2.{number}"))
        for number in range(20)
    ]
    await until(lambda: sum(task.done() for task in flood) == 16)
    honest = asyncio.create_task(api.log_in(EMAIL, ip=HOME))
    # It takes the slot of a stranger, and runs next.
    await until(lambda: sum(task.done() for task in flood) == 17)
    stranger = await api.log_in(EMAIL, ip="203.0.113.9")
    assert (stranger.status, stranger.problem) == (503, "overloaded")
    hashes.may_continue.set()
    assert (await honest).status == 200
    statuses = Counter(answer.status for answer in await asyncio.gather(*flood))
    assert statuses == {401: 3, 503: 17}
