"""GET /api/user/events: what happened to an account, and nothing of anybody else's."""

from typing import Any

import pytest

from tests.api import PASSWORD, Api, basic, bearer
from tests.sql import run_sql

EMAIL = "susan@example.com"
EVENTS = "/api/user/events"


async def events(api: Api, query: str = "", email: str = EMAIL) -> Any:
    answer = await api.request("GET", EVENTS + query, authorization=basic(email, PASSWORD))
    assert answer.status == 200
    return answer.json


@pytest.mark.gen_test
async def test_each_change_is_an_event_with_where_and_in_which_request(api: Api) -> None:
    await api.register(EMAIL)
    await api.log_in(EMAIL, "wrong password")
    token = await api.token(EMAIL)
    for method, path, body in (
        ("PATCH", "/api/user", {"name": "Susan", "password": PASSWORD}),
        ("POST", "/api/user/logout", None),
    ):
        answer = await api.request(method, path, authorization=bearer(token), json_body=body)
    assert (
        await api.request("DELETE", "/api/user/tokens", authorization=basic(EMAIL, PASSWORD))
    ).status == 200
    found = (await events(api))["events"]
    assert [event["kind"] for event in found] == [
        "tokens-ended",
        "token-ended",
        "password-changed",
        "name-changed",
        "logged-in",
        "password-failed",
        "registered",
    ]
    assert {event["outcome"] for event in found if event["kind"] != "password-failed"} == {
        "success"
    }
    assert found[1]["request_id"] == answer.headers["X-Request-ID"]
    assert {event["ip"] for event in found} == {"127.0.0.1"}
    assert set(found[0]) == {"id", "at", "kind", "outcome", "ip", "client_id", "request_id"}


@pytest.mark.gen_test
async def test_they_come_in_pages_newest_first(api: Api) -> None:
    await api.register(EMAIL)
    for _ in range(4):
        await api.token(EMAIL)
    first = await events(api, "?limit=3")
    second = await events(api, f"?limit=3&before={first['before']}")
    seen = [event["id"] for page in (first, second) for event in page["events"]]
    assert len(set(seen)) == 5
    assert seen == sorted(seen, key=int, reverse=True)
    assert second["before"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=1&limit=2",
        "before=-1",
        "before=" + "9" * 30,
        "limit=\u0661",
    ],
)
@pytest.mark.gen_test
async def test_a_page_that_makes_no_sense_is_422(api: Api, query: str) -> None:
    token = await api.registered_token(EMAIL)
    answer = await api.request("GET", f"{EVENTS}?{query}", authorization=bearer(token))
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, query.partition("=")[0])


@pytest.mark.gen_test
async def test_events_of_others_are_not_shown(api: Api) -> None:
    await api.register(EMAIL)
    await api.registered_token("other@example.com")
    found = await events(api)
    assert [event["kind"] for event in found["events"]] == ["registered"]


@pytest.mark.gen_test
async def test_an_event_is_there_only_with_what_it_tells_of(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    assert (await api.register(EMAIL)).status == 409
    assert run_sql(dsn, "SELECT kind FROM events") == [("registered",)]


@pytest.mark.gen_test
async def test_what_was_typed_as_an_address_that_is_nobodys_is_not_kept(api: Api, dsn: str) -> None:
    await api.log_in("my secret password", "susan@example.com")
    rows = run_sql(dsn, "SELECT e::text FROM events e UNION ALL SELECT t::text FROM throttle t")
    assert len(rows) == 4
    assert not any("secret" in row or "susan" in row for (row,) in rows)
