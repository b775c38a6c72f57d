"""Limits on requests for messages: by network and user aloud, by recipient silently."""

import pytest

from rules.message_kinds import MessageKind
from settings import Settings
from tests.harness.api import PASSWORD, Answer, Api, basic
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings, settings_with
from tests.harness.mail_calls import (
    CHANGE,
    EMAIL,
    RESET,
    SETTINGS,
    SUSAN,
    VERIFICATION,
    confirm,
    request_change,
    request_reset,
    request_verification,
    sent_by,
)
from tests.harness.sql import run_sql

HOUR = 3600
NETWORK_LIMIT, USER_LIMIT, RECIPIENT_LIMIT = 20, 5, 5
UNKNOWN = "unknown@example.com"


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    return settings_with(**{**SETTINGS, **getattr(request, "param", {})})


def assert_limited(answer: Answer, *, seconds: int) -> None:
    assert (answer.status, answer.problem) == (429, "too-many-messages")
    assert answer.headers["Retry-After"] == str(seconds)


@pytest.mark.parametrize("email", [EMAIL, UNKNOWN])
@pytest.mark.gen_test
async def test_a_network_requests_twenty_messages_an_hour(
    api: Api, dsn: str, clock: Clock, email: str
) -> None:
    await api.register()
    for number in range(NETWORK_LIMIT):
        assert (await request_reset(api, email)).status == 202
        clock.advance(10 if number == 0 else 0)
    assert_limited(await request_reset(api, email), seconds=HOUR - 10)
    assert_limited(await request_reset(api, "other@example.com"), seconds=HOUR - 10)
    assert_limited(await request_verification(api), seconds=HOUR - 10)
    assert run_sql(dsn, "SELECT count(*) FROM messages") == [(NETWORK_LIMIT,)]
    clock.advance(HOUR - 10)
    assert (await request_reset(api, email)).status == 202
    assert_limited(await request_reset(api, email), seconds=10)


@pytest.mark.gen_test
async def test_a_user_requests_five_messages_an_hour(api: Api, clock: Clock) -> None:
    await api.register()
    await api.register("peter@example.com")
    assert (await request_verification(api)).status == 202
    clock.advance(60)
    for number in range(USER_LIMIT - 1):
        assert (await request_change(api, f"new{number}@example.com")).status == 202
    for call in (request_verification(api), request_change(api)):
        assert_limited(await call, seconds=HOUR - 60)
    peter = basic("peter@example.com", PASSWORD)
    assert (await request_verification(api, peter)).status == 202
    assert (await request_reset(api)).status == 202
    clock.advance(HOUR - 60)
    assert (await request_verification(api)).status == 202


@pytest.mark.gen_test
async def test_a_verified_user_has_the_same_limit_and_gets_no_message(api: Api, dsn: str) -> None:
    await api.register()
    run_sql(dsn, "UPDATE users SET email_verified_at = now()")
    for _ in range(USER_LIMIT):
        answer = await request_verification(api)
        assert (answer.status, answer.json) == (202, {})
    assert_limited(await request_verification(api), seconds=HOUR)
    assert run_sql(dsn, "SELECT count(recipient), count(user_id) FROM messages") == [(0, 0)]


@override_settings(MAIL__NETWORK_PER_HOUR=1_000)
@pytest.mark.gen_test
async def test_printed_links_and_messages_that_became_void_unsent_do_not_count(
    api: Api, dsn: str
) -> None:
    await api.register()
    for change in ("due_at = NULL", "due_at = NULL, voided_at = now()"):
        for _ in range(RECIPIENT_LIMIT):
            sent = await sent_by(dsn, request_reset(api))
            run_sql(
                dsn,
                f"UPDATE messages SET attempts = 0, sent_at = NULL, {change} WHERE id = %s",  # noqa: S608
                (sent.id,),
            )
    for _ in range(RECIPIENT_LIMIT):
        await sent_by(dsn, request_reset(api))
    assert (await request_reset(api)).status == 202
    assert run_sql(dsn, "SELECT count(recipient) FROM messages") == [(3 * RECIPIENT_LIMIT,)]


@override_settings(MAIL__NETWORK_PER_HOUR=1_000)
@pytest.mark.gen_test
async def test_urgent_messages_do_not_count_toward_the_limit_of_a_recipient(
    api: Api, dsn: str
) -> None:
    await api.register()
    for _ in range(RECIPIENT_LIMIT):
        await sent_by(dsn, request_reset(api))
    run_sql(dsn, "UPDATE messages SET is_urgent = true, sent_at = now(), due_at = NULL")
    await sent_by(dsn, request_reset(api))


@override_settings(MAIL__NETWORK_PER_HOUR=1_000)
@pytest.mark.gen_test
async def test_messages_that_are_being_sent_while_their_user_is_deleted_count(
    api: Api, dsn: str
) -> None:
    await api.register()
    for _ in range(RECIPIENT_LIMIT):
        await sent_by(dsn, request_reset(api))
    lease = "due_at = expires_at, attempts = 1, sent_at = NULL, failure = NULL"
    run_sql(dsn, f"UPDATE messages SET {lease}")  # noqa: S608
    assert (await api.request("DELETE", "/api/user", authorization=SUSAN)).status == 200
    await api.register()
    assert (await request_reset(api)).status == 202
    assert run_sql(dsn, "SELECT count(recipient) FROM messages") == [(0,)]


@override_settings(MAIL__NETWORK_PER_HOUR=1_000)
@pytest.mark.gen_test
async def test_taken_addresses_count_toward_the_limit_of_the_user(api: Api, dsn: str) -> None:
    await api.register()
    await api.register("peter@example.com")
    for _ in range(USER_LIMIT):
        assert (await request_change(api, "peter@example.com")).status == 202
    assert_limited(await request_change(api, "peter@example.com"), seconds=HOUR)
    assert run_sql(dsn, "SELECT count(recipient) FROM messages") == [(0,)]


@pytest.mark.gen_test
async def test_retry_after_is_that_of_the_limit_that_is_reached(api: Api, clock: Clock) -> None:
    """The oldest request of the network is older than that of the user."""
    await api.register()
    assert (await request_reset(api)).status == 202
    clock.advance(1000)
    for _ in range(USER_LIMIT):
        assert (await request_verification(api)).status == 202
    assert_limited(await request_verification(api), seconds=HOUR)


@override_settings(MAIL__NETWORK_PER_HOUR=1_000)
@pytest.mark.gen_test
async def test_a_recipient_gets_five_messages_an_hour_and_the_answer_does_not_change(
    api: Api, dsn: str, clock: Clock
) -> None:
    await api.register()
    answers = [await request_reset(api) for _ in range(RECIPIENT_LIMIT + 3)]
    assert [answer.status for answer in answers] == [202] * len(answers)
    assert len({answer.json["request"] for answer in answers}) == len(answers)
    assert run_sql(dsn, "SELECT count(recipient) FROM messages") == [(RECIPIENT_LIMIT,)]
    clock.advance(HOUR)
    await sent_by(dsn, request_reset(api))


@override_settings(MAIL__NETWORK_PER_HOUR=1_000)
@pytest.mark.gen_test
async def test_requests_beyond_the_limit_of_a_recipient_do_not_extend_it(
    api: Api, dsn: str, clock: Clock
) -> None:
    await api.register()
    for _ in range(RECIPIENT_LIMIT):
        await sent_by(dsn, request_reset(api))
    clock.advance(HOUR - 1)
    for _ in range(RECIPIENT_LIMIT):
        assert (await request_reset(api)).status == 202
    clock.advance(1)
    await sent_by(dsn, request_reset(api))


@override_settings(MAIL__NETWORK_PER_HOUR=1_000)
@pytest.mark.gen_test
async def test_the_limit_of_a_recipient_ignores_the_case_of_the_address(api: Api, dsn: str) -> None:
    await api.register()
    for number in range(RECIPIENT_LIMIT + 1):
        email = EMAIL if number % 2 else "Susan@Example.com"
        assert (await request_reset(api, email)).status == 202
    assert run_sql(dsn, "SELECT count(recipient) FROM messages") == [(RECIPIENT_LIMIT,)]


@pytest.mark.gen_test
async def test_notices_are_beyond_the_limit_of_a_recipient(api: Api, dsn: str) -> None:
    await api.register()
    sent = [await sent_by(dsn, request_reset(api)) for _ in range(RECIPIENT_LIMIT)][-1]
    notice = await sent_by(dsn, confirm(api, RESET, sent.token), status=200)
    row = run_sql(dsn, "SELECT kind, is_urgent FROM messages WHERE id = %s", (notice.id,))
    assert row == [(MessageKind.PASSWORD_CHANGED, True)]


@override_settings(MAIL__URL="")
@pytest.mark.parametrize(
    ("path", "authorization"), [(RESET, None), (VERIFICATION, SUSAN), (CHANGE, SUSAN)]
)
@pytest.mark.gen_test
async def test_without_mail_the_calls_that_send_are_501_after_401_and_before_415(
    api: Api, path: str, authorization: str | None
) -> None:
    await api.register()
    if authorization is not None:
        answer = await api.request("POST", path, body=b"x", authorization=basic(EMAIL, "wrong"))
        assert answer.status == 401
    answer = await api.request("POST", path, body=b"x", authorization=authorization)
    assert (answer.status, answer.problem) == (501, "mail-disabled")


@override_settings(MAIL__URL="")
@pytest.mark.gen_test
async def test_without_mail_get_and_head_of_the_calls_that_send_are_405(api: Api) -> None:
    for path in (RESET, VERIFICATION, CHANGE):
        for method in ("GET", "HEAD"):
            assert (await api.request(method, path)).status == 405
