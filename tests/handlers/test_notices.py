"""Messages about a change of the account, and what a change does to earlier messages."""

import pytest

from rules.message_kinds import MessageKind
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.mail import MAIL, last_message, secrets_of
from tests.harness.sql import all_text, run_sql

EMAIL, NEW_EMAIL = "susan@example.com", "new@example.com"
NEW = "another horse battery"
WITH_MAIL = override_settings(**MAIL)
# The sender sends the message of the registration, and nothing more in the next minute.
SLOW_SENDER = override_settings(**MAIL, MAIL__PER_MINUTE=1)
UNVOIDED = "SELECT kind FROM messages WHERE voided_at IS NULL AND used_at IS NULL ORDER BY kind"


# As the sender does.
SEND = "UPDATE messages SET sent_at = now(), due_at = NULL WHERE recipient IS NOT NULL"


def notices(dsn: str) -> list[tuple[str, str, bool]]:
    """Return the messages without secrets that are or were to be sent.

    They are kind, recipient and whether urgent.
    """
    return run_sql(
        dsn,
        "SELECT kind, recipient, is_urgent FROM messages"
        " WHERE key_id IS NULL AND (due_at IS NOT NULL OR sent_at IS NOT NULL) ORDER BY kind",
    )


def unvoided(dsn: str) -> list[str]:
    return [kind for (kind,) in run_sql(dsn, UNVOIDED)]


async def with_messages(api: Api, dsn: str) -> str:
    """Register a user with a message of each kind that has a secret; return a token."""
    token = await api.registered_token(EMAIL)
    verification = last_message(dsn, MessageKind.VERIFICATION)
    secret = secrets_of(dsn, verification).token
    for path, body, status in (
        ("/api/user/verification", None, 202),
        ("/api/user/verification/confirm", {"token": secret}, 200),
        ("/api/user/email", {"email": NEW_EMAIL, "current_password": PASSWORD}, 202),
    ):
        answer = await api.request(
            "POST", path, authorization=basic(EMAIL, PASSWORD), json_body=body
        )
        assert answer.status == status, answer
    change = last_message(dsn, MessageKind.EMAIL_CHANGE)
    body = {"token": secrets_of(dsn, change).token}
    confirmed = await api.request(
        "POST", "/api/user/email/confirm", authorization=bearer(token), json_body=body
    )
    assert confirmed.status == 200, confirmed
    asked = await api.request("POST", "/api/user/password/reset", json_body={"email": NEW_EMAIL})
    assert asked.status == 202
    assert unvoided(dsn) == ["email-undo", "password-reset"]
    return token


async def change_password(api: Api, token: str, password: str) -> None:
    changed = await api.request(
        "PATCH", "/api/user", authorization=bearer(token), json_body={"password": password}
    )
    assert changed.status == 200, changed


@WITH_MAIL
@pytest.mark.parametrize("by", ["token", "password"])
@pytest.mark.gen_test
async def test_a_new_password_is_announced_and_voids_all_messages_but_an_undo(
    api: Api, dsn: str, by: str
) -> None:
    token = await with_messages(api, dsn)
    authorization = bearer(token) if by == "token" else basic(NEW_EMAIL, PASSWORD)
    changed = await api.request(
        "PATCH", "/api/user", authorization=authorization, json_body={"password": NEW}
    )
    assert changed.status == 200
    assert unvoided(dsn) == ["email-undo", "password-changed"]
    assert notices(dsn) == [("password-changed", NEW_EMAIL, True)]


@WITH_MAIL
@pytest.mark.gen_test
async def test_a_new_name_is_not_announced_and_voids_no_message(api: Api, dsn: str) -> None:
    token = await with_messages(api, dsn)
    changed = await api.request(
        "PATCH", "/api/user", authorization=bearer(token), json_body={"name": "Sue"}
    )
    assert changed.status == 200
    assert unvoided(dsn) == ["email-undo", "password-reset"]
    assert notices(dsn) == []


@WITH_MAIL
@pytest.mark.gen_test
async def test_revoked_tokens_are_announced_only_if_there_were_any(api: Api, dsn: str) -> None:
    token = await api.registered_token(EMAIL)
    for path, revoked in (
        ("/api/user/tokens?keep_current=true", 0),
        ("/api/user/tokens", 1),
    ):
        assert notices(dsn) == []
        answer = await api.request("DELETE", path, authorization=bearer(token))
        assert answer.json == {"revoked": revoked}
    assert notices(dsn) == [("tokens-revoked", EMAIL, False)]


# Once it is sent, a message about a deletion has no recipient.
@SLOW_SENDER
@pytest.mark.gen_test
async def test_a_deletion_is_announced_and_leaves_no_other_address(api: Api, dsn: str) -> None:
    token = await with_messages(api, dsn)
    deleted = await api.request("DELETE", "/api/user", authorization=bearer(token))
    assert deleted.status == 200
    assert notices(dsn) == [("user-deleted", NEW_EMAIL, True)]
    assert unvoided(dsn) == ["user-deleted"]
    rows = run_sql(dsn, "SELECT count(*), count(user_id), count(requester_id) FROM messages")
    assert rows[0][0] > 1
    assert rows[0][1:] == (0, 0)
    assert all_text(dsn).count(NEW_EMAIL) == 1
    assert EMAIL not in all_text(dsn)
    # The undo is void: its address is free again.
    assert (await api.register(EMAIL)).status == 201


@WITH_MAIL
@pytest.mark.gen_test
async def test_the_message_about_a_deletion_is_in_the_language_of_the_user(
    api: Api, dsn: str
) -> None:
    await api.register(EMAIL)
    run_sql(dsn, "UPDATE users SET language = 'de'")
    await api.request("DELETE", "/api/user", authorization=basic(EMAIL, PASSWORD))
    kinds = "SELECT language FROM messages WHERE kind = 'user-deleted'"
    assert run_sql(dsn, kinds) == [("de",)]


@WITH_MAIL
@pytest.mark.gen_test
async def test_the_messages_of_a_deleted_user_still_count_toward_the_limit_of_the_recipient(
    api: Api, dsn: str
) -> None:
    """Otherwise a caller could begin again, and send any number of messages to a stranger."""
    for _ in range(7):
        assert (await api.register(EMAIL)).status == 201
        run_sql(dsn, SEND)
        answer = await api.request("DELETE", "/api/user", authorization=basic(EMAIL, PASSWORD))
        assert answer.status == 200
    sent = "SELECT count(*) FROM messages WHERE sent_at IS NOT NULL"
    assert run_sql(dsn, sent) == [(5,)]


@WITH_MAIL
@pytest.mark.gen_test
async def test_an_address_that_is_not_verified_gets_five_messages_an_hour_with_all_notices(
    api: Api, dsn: str
) -> None:
    """It may be that of a stranger."""
    token = await api.registered_token(EMAIL)
    for number in range(7):
        await change_password(api, token, f"{NEW} {number}")
        run_sql(dsn, SEND)
    rows = run_sql(dsn, "SELECT kind, is_urgent FROM messages WHERE recipient IS NOT NULL")
    assert sorted(rows) == [*[("password-changed", False)] * 4, ("verification", False)]


@SLOW_SENDER
@pytest.mark.gen_test
async def test_two_changes_before_a_notice_is_sent_have_one_notice(
    api: Api, dsn: str, clock: Clock
) -> None:
    token = await with_messages(api, dsn)
    last = "SELECT count(*), max(extract(epoch FROM created_at)), max(attempts) FROM messages"
    last += " WHERE kind = 'password-changed'"
    for change in (
        "due_at = due_at",
        "attempts = 1, failure = 'greylisted', due_at = due_at + interval '1 hour'",
        "sent_at = now(), due_at = NULL",
    ):
        clock.advance(60)
        await change_password(api, token, f"{NEW} {change[:8]}")
        assert run_sql(dsn, last)[0][:2] == (1, clock())
        run_sql(dsn, f"UPDATE messages SET {change} WHERE kind = 'password-changed'")  # noqa: S608
    await change_password(api, token, NEW)
    assert run_sql(dsn, last)[0][0] == 2
    run_sql(dsn, "UPDATE messages SET attempts = 1 WHERE due_at IS NOT NULL")
    await change_password(api, token, f"{NEW} during an attempt")
    assert run_sql(dsn, last)[0][0] == 3


@pytest.mark.gen_test
async def test_with_mail_off_no_change_is_announced(api: Api, dsn: str) -> None:
    token = await api.registered_token(EMAIL)
    for method, path, body in (
        ("PATCH", "/api/user", {"password": NEW}),
        ("DELETE", "/api/user/tokens?keep_current=true", None),
        ("DELETE", "/api/user", None),
    ):
        answer = await api.request(method, path, authorization=bearer(token), json_body=body)
        assert answer.status == 200
    assert run_sql(dsn, "SELECT * FROM messages") == []
