"""GET /api/user/events: the events of the user's own account."""

from typing import Any
from uuid import UUID

import pytest

from db.errors import DatabaseError
from handlers.application import Application
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
EVENTS = "/api/user/events"


async def events(api: Api, query: str = "", email: str = EMAIL) -> Any:
    answer = await api.request("GET", EVENTS + query, authorization=basic(email, PASSWORD))
    assert answer.status == 200
    return answer.json


@pytest.mark.gen_test
async def test_each_change_is_an_event_with_address_and_request(api: Api) -> None:
    await api.register(EMAIL)
    await api.log_in(EMAIL, "wrong password")
    token = await api.token(EMAIL)
    for method, path, body in (
        ("PATCH", "/api/user", {"name": "Susan", "password": PASSWORD}),
        ("POST", "/api/user/logout", None),
    ):
        answer = await api.request(method, path, authorization=bearer(token), json_body=body)
    await api.token(EMAIL)
    for _ in range(2):
        ended = await api.request(
            "DELETE", "/api/user/tokens", authorization=basic(EMAIL, PASSWORD)
        )
        assert ended.status == 200
    found = (await events(api))["events"]
    assert [event["kind"] for event in found] == [
        "tokens-ended",
        "logged-in",
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
    assert found[2]["request_id"] == answer.headers["X-Request-ID"]
    assert {event["ip"] for event in found} == {"127.0.0.1"}
    assert set(found[0]) == {
        "id",
        "at",
        "kind",
        "outcome",
        "ip",
        "client_id",
        "request_id",
        "times",
    }


@pytest.mark.gen_test
async def test_events_are_paged_newest_first(api: Api) -> None:
    await api.register(EMAIL)
    for _ in range(4):
        await api.token(EMAIL)
    first = await events(api, "?limit=3")
    second = await events(api, f"?limit=3&before={first['before']}")
    seen = [event for page in (first, second) for event in page["events"]]
    assert seen == (await events(api))["events"]
    assert len({event["id"] for event in seen}) == 5
    assert second["before"] is None


@pytest.mark.gen_test
async def test_ids_of_events_and_pages_reveal_no_count(api: Api) -> None:
    await api.register(EMAIL)
    await api.token(EMAIL)
    page = await events(api, "?limit=2")
    ids = [event["id"] for event in page["events"]]
    assert [UUID(each).version for each in ids] == [4, 4]
    assert page["before"] == ids[-1]


@pytest.mark.gen_test
async def test_a_page_before_an_unknown_event_or_another_users_is_empty(api: Api) -> None:
    await api.register(EMAIL)
    await api.register("other@example.com")
    [other] = (await events(api, email="other@example.com"))["events"]
    for before in (other["id"], str(UUID(int=7))):
        assert await events(api, f"?before={before}") == {"events": [], "before": None}


@pytest.mark.gen_test
async def test_a_request_without_a_change_is_no_event(api: Api) -> None:
    await api.register(EMAIL, name="Susan")
    token = await api.token(EMAIL)
    for method, path, body in (
        ("PATCH", "/api/user", {"name": "Susan"}),
        ("PATCH", "/api/user", {"name": " Susan "}),
        ("DELETE", "/api/user/tokens?keep_current=true", None),
    ):
        answer = await api.request(method, path, authorization=bearer(token), json_body=body)
        assert answer.status == 200
    user = (await api.request("GET", "/api/user", authorization=bearer(token))).json
    assert user["updated_at"] == user["created_at"]
    found = (await events(api))["events"]
    assert [event["kind"] for event in found] == ["logged-in", "registered"]


@pytest.mark.gen_test
async def test_failures_of_a_minute_are_two_events(
    api: Api, app: Application, clock: Clock
) -> None:
    await api.register(EMAIL)
    for _ in range(3):
        await api.log_in(EMAIL, "wrong password")
    [first, _] = (await events(api))["events"]
    assert (first["kind"], first["times"]) == ("password-failed", 1)
    clock.advance(60)
    await app.services.audit.write_counted()
    found = (await events(api))["events"]
    assert [(event["kind"], event["times"]) for event in found] == [
        ("password-failed", 2),
        ("password-failed", 1),
        ("registered", 1),
    ]
    assert {event["ip"] for event in found} == {"127.0.0.1"}
    assert app.services.audit.counts.events["password-failed"] == 3


@override_settings(SERVER__TRUSTED_PROXIES="127.0.0.1")
@pytest.mark.gen_test
async def test_failures_from_many_addresses_do_not_fill_the_table(
    api: Api, app: Application, clock: Clock, dsn: str
) -> None:
    for number in range(40):
        answer = await api.request(
            "POST",
            "/api/token/introspect",
            authorization=basic(f"client-{number}", "secret"),
            body=b"token=x",
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "X-Forwarded-For": f"2001:db8:0:{number:x}::1",
            },
        )
        assert answer.status == 401
    clock.advance(60)
    await app.services.audit.write_counted()
    assert run_sql(dsn, "SELECT count(*), sum(times) FROM events") == [(31, 40)]


@pytest.mark.gen_test
async def test_failures_that_could_not_be_written_are_written_later(
    api: Api, app: Application, clock: Clock, dsn: str
) -> None:
    await api.register(EMAIL)
    for _ in range(3):
        await api.log_in(EMAIL, "wrong password")
    clock.advance(60)
    run_sql(dsn, "ALTER TABLE events RENAME TO gone")
    try:
        with pytest.raises(DatabaseError):
            await app.services.audit.write_counted()
    finally:
        run_sql(dsn, "ALTER TABLE gone RENAME TO events")
    await app.services.audit.write_all_counted()
    assert run_sql(dsn, "SELECT sum(times) FROM events WHERE kind = 'password-failed'") == [(3,)]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=000000000000000000010",
        "limit=000000000000000000105",
        "limit=101",
        "limit=x",
        "limit=1&limit=2",
        "before=17",
        "before=7B9C0000-0000-0000-0000-000000000000",
        "before=7b9c00000000000000000000000000000000",
        "limit=\u0661",
    ],
)
@pytest.mark.gen_test
async def test_an_invalid_page_is_422(api: Api, query: str) -> None:
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
async def test_an_event_is_committed_only_with_its_change(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    assert (await api.register(EMAIL)).status == 409
    assert run_sql(dsn, "SELECT kind FROM events") == [("registered",)]


@pytest.mark.gen_test
async def test_an_unknown_address_is_not_stored(api: Api, dsn: str) -> None:
    await api.log_in("my secret password", "susan@example.com")
    rows = run_sql(dsn, "SELECT e::text FROM events e UNION ALL SELECT t::text FROM throttle t")
    assert len(rows) == 4
    assert not any("secret" in row or "susan" in row for (row,) in rows)
