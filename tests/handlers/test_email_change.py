"""/api/user/email: the change of the email address."""

import asyncio

import pytest

from rules.message_kinds import MessageKind
from services.event_kinds import EventKind
from settings import Settings
from tests.harness.another_server import another_server
from tests.harness.api import PASSWORD, Api, basic, bearer, rejected_fields
from tests.harness.clock import Clock
from tests.harness.configuration import KEY, override_settings, settings_with
from tests.harness.mail_calls import (
    CHANGE,
    EMAIL,
    NEW_EMAIL,
    SETTINGS,
    SUSAN,
    change,
    confirm,
    message_ids,
    request_change,
    request_reset,
    request_verification,
    sent_by,
    verify,
)
from tests.harness.row_locks import holding
from tests.harness.sql import run_sql

TAKEN = "taken@example.com"


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    return settings_with(**SETTINGS, **getattr(request, "param", {}))


@pytest.mark.gen_test
async def test_a_request_sends_a_message_to_the_new_address_only(api: Api, dsn: str) -> None:
    await api.register()
    answer = await request_change(api)
    assert (answer.status, answer.json) == (202, {})
    rows = run_sql(dsn, "SELECT kind, recipient FROM messages")
    assert rows == [(MessageKind.EMAIL_CHANGE, NEW_EMAIL)]


@pytest.mark.gen_test
async def test_a_request_without_credentials_is_401(api: Api) -> None:
    answer = await api.request("POST", CHANGE, json_body={})
    assert (answer.status, answer.problem) == (401, "credentials-missing")


@pytest.mark.parametrize("by_token", [True, False])
@pytest.mark.gen_test
async def test_a_wrong_current_password_is_a_field_error_and_a_counted_failure(
    api: Api, dsn: str, *, by_token: bool
) -> None:
    token = await api.registered_token()
    authorization = bearer(token) if by_token else SUSAN
    answer = await request_change(api, authorization=authorization, password="wrong")
    assert rejected_fields(answer) == ["current_password"]
    count = "SELECT failures FROM throttle WHERE subject LIKE 'account:%%'"
    assert run_sql(dsn, count, {}) == [(1,)]
    assert message_ids(dsn, unsent=True) == set()


@pytest.mark.gen_test
async def test_the_address_and_the_current_password_are_required(api: Api, dsn: str) -> None:
    await api.register()
    for body, fields in (
        ({}, ["email", "current_password"]),
        ({"email": NEW_EMAIL}, ["current_password"]),
        ({"email": NEW_EMAIL, "current_password": None}, ["current_password"]),
        ({"email": "susan", "current_password": PASSWORD}, ["email"]),
        ({"email": EMAIL, "current_password": PASSWORD}, ["email"]),
        ({"email": f" {EMAIL} ", "current_password": PASSWORD}, ["email"]),
    ):
        answer = await api.request("POST", CHANGE, authorization=SUSAN, json_body=body)
        assert rejected_fields(answer) == fields
    assert message_ids(dsn, unsent=True) == set()


@pytest.mark.gen_test
async def test_a_taken_address_gets_the_same_answer_and_no_message(api: Api, dsn: str) -> None:
    await api.register()
    await api.register(TAKEN)
    answer = await request_change(api, TAKEN.upper())
    assert (answer.status, answer.json) == (202, {})
    rows = run_sql(dsn, "SELECT kind, recipient, user_id FROM messages")
    assert rows == [(MessageKind.EMAIL_CHANGE, None, None)]


@pytest.mark.gen_test
async def test_a_change_moves_the_address_and_keeps_tokens_and_the_password(
    api: Api, dsn: str
) -> None:
    token = await api.registered_token()
    sent = await sent_by(dsn, request_change(api))
    answer = await confirm(api, CHANGE, sent.token, bearer(token))
    assert answer.status == 200
    assert (answer.json["email"], answer.json["email_verified"]) == (NEW_EMAIL, True)
    user = await api.request("GET", "/api/user", authorization=bearer(token))
    assert user.json == answer.json
    assert (await api.log_in(NEW_EMAIL)).status == 200
    assert (await api.log_in(EMAIL)).status == 401
    changed = "SELECT count(*) FROM events WHERE kind = %s"
    assert run_sql(dsn, changed, (EventKind.EMAIL_CHANGED,)) == [(1,)]


@pytest.mark.gen_test
async def test_the_users_own_address_in_another_case_is_a_change(api: Api, dsn: str) -> None:
    await api.register()
    await verify(api, dsn)
    undo = await change(api, dsn, "Susan@example.com")
    assert undo is not None
    assert run_sql(dsn, "SELECT email, email_key FROM users") == [("Susan@example.com", EMAIL)]
    assert (await api.log_in()).status == 200


@pytest.mark.gen_test
async def test_failures_and_the_usual_network_move_with_the_address(api: Api, dsn: str) -> None:
    token = await api.registered_token()
    sent = await sent_by(dsn, request_change(api))
    for email, times in ((EMAIL, 2), (NEW_EMAIL, 1)):
        for _ in range(times):
            assert (await api.log_in(email, "wrong")).status == 401
    counts = "SELECT failures, place FROM throttle WHERE subject LIKE 'account:%%' ORDER BY 1"
    before = run_sql(dsn, counts, {})
    assert (await confirm(api, CHANGE, sent.token, bearer(token))).status == 200
    assert run_sql(dsn, counts, {}) == before[1:]
    assert before[1][0] == 2
    assert (await api.log_in(NEW_EMAIL, "wrong")).status == 401
    assert run_sql(dsn, counts, {}) == [(3, before[1][1])]


@pytest.mark.gen_test
async def test_an_address_taken_meanwhile_is_409_and_the_message_stays_valid(
    api: Api, dsn: str
) -> None:
    token = bearer(await api.registered_token())
    sent = await sent_by(dsn, request_change(api))
    await api.register(NEW_EMAIL)
    for proof in (sent.token, sent.code):
        answer = await confirm(api, CHANGE, proof, token)
        assert (answer.status, answer.problem) == (409, "email-taken")
    user = await api.request("GET", "/api/user", authorization=token)
    assert user.json["email"] == EMAIL
    answer = await api.request("DELETE", "/api/user", authorization=basic(NEW_EMAIL, PASSWORD))
    assert answer.status == 200
    assert (await confirm(api, CHANGE, sent.token, token)).status == 200


@override_settings(REGISTRATION__QUARANTINE_DAYS=7)
@pytest.mark.gen_test
async def test_a_reserved_address_gets_no_message_and_cannot_be_confirmed(
    api: Api, dsn: str
) -> None:
    await api.register()
    sent = await sent_by(dsn, request_change(api))
    await api.register(NEW_EMAIL)
    await api.request("DELETE", "/api/user", authorization=basic(NEW_EMAIL, PASSWORD))
    assert (await request_change(api)).status == 202
    recipients = "SELECT count(recipient) FROM messages WHERE kind = %s"
    assert run_sql(dsn, recipients, (MessageKind.EMAIL_CHANGE,)) == [(1,)]
    answer = await confirm(api, CHANGE, sent.token, SUSAN)
    assert (answer.status, answer.problem) == (409, "email-taken")
    assert run_sql(dsn, "SELECT email FROM users") == [(EMAIL,)]


@pytest.mark.parametrize("registers_first", [True, False])
@pytest.mark.gen_test
async def test_a_change_and_a_registration_of_an_address_at_once_have_one_owner(
    api: Api, dsn: str, *, registers_first: bool
) -> None:
    """One has written, and not committed, when the other begins."""
    token = bearer(await api.registered_token())
    sent = await sent_by(dsn, request_change(api))
    if registers_first:
        write = "INSERT INTO users (email, email_key, password_hash) VALUES (%s, %s, '')"
    else:
        write = "UPDATE users SET email = %s, email_key = %s"
    with holding(dsn, write, (NEW_EMAIL, NEW_EMAIL)) as holder:
        if registers_first:
            task = asyncio.create_task(confirm(api, CHANGE, sent.token, token))
        else:
            task = asyncio.create_task(api.register(NEW_EMAIL))
        await holder.sees_waiting(task)
        holder.commit()
    answer = await task
    assert (answer.status, answer.problem) == (409, "email-taken")
    owners = "SELECT count(*) FROM users WHERE email_key = %s"
    assert run_sql(dsn, owners, (NEW_EMAIL,)) == [(1,)]


@pytest.mark.gen_test
async def test_two_users_who_change_to_an_address_at_once_have_one_winner(
    api: Api, dsn: str, settings: Settings, clock: Clock
) -> None:
    changes = []
    for email in (EMAIL, "peter@example.com"):
        token = bearer(await api.registered_token(email))
        changes.append((token, await sent_by(dsn, request_change(api, authorization=token))))
    # A row of the new address, which is then deleted, lets both wait.
    write = "INSERT INTO users (email, email_key, password_hash) VALUES (%s, %s, '')"
    async with another_server(settings, [KEY], dsn, clock) as other:
        with holding(dsn, write, (NEW_EMAIL, NEW_EMAIL)) as holder:
            tasks = [
                asyncio.create_task(confirm(each, CHANGE, sent.token, token))
                for each, (token, sent) in zip((api, other), changes, strict=True)
            ]
            await holder.sees_waiting(*tasks)
            holder.run("DELETE FROM users WHERE email_key = %s", (NEW_EMAIL,))
            holder.commit()
        answers = await asyncio.gather(*tasks)
    assert sorted(answer.status for answer in answers) == [200, 409]
    owners = "SELECT count(*) FROM users WHERE email_key = %s"
    assert run_sql(dsn, owners, (NEW_EMAIL,)) == [(1,)]


@pytest.mark.gen_test
async def test_two_confirmations_at_once_change_the_address_once(
    api: Api, dsn: str, settings: Settings, clock: Clock
) -> None:
    token = bearer(await api.registered_token())
    await verify(api, dsn)
    sent = await sent_by(dsn, request_change(api))
    async with another_server(settings, [KEY], dsn, clock) as other:
        with holding(dsn, "SELECT FROM users FOR UPDATE") as holder:
            tasks = [
                asyncio.create_task(confirm(each, CHANGE, sent.token, token))
                for each in (api, other)
            ]
            await holder.sees_waiting(*tasks)
            holder.commit()
        answers = await asyncio.gather(*tasks)
    assert [answer.status for answer in answers] == [200, 200]
    undos = "SELECT count(*) FROM messages WHERE kind = 'email-undo'"
    assert run_sql(dsn, undos) == [(1,)]


@pytest.mark.gen_test
async def test_a_repeated_confirmation_of_an_earlier_change_is_rejected(api: Api, dsn: str) -> None:
    token = bearer(await api.registered_token())
    first = await sent_by(dsn, request_change(api))
    assert (await confirm(api, CHANGE, first.token, token)).status == 200
    await change(api, dsn, EMAIL, basic(NEW_EMAIL, PASSWORD))
    answer = await confirm(api, CHANGE, first.token, token)
    assert (answer.status, answer.problem) == (422, "code-invalid")
    assert run_sql(dsn, "SELECT email FROM users") == [(EMAIL,)]


@pytest.mark.gen_test
async def test_a_change_makes_the_other_messages_of_the_user_void(api: Api, dsn: str) -> None:
    token = bearer(await api.registered_token())
    await sent_by(dsn, request_reset(api))
    await sent_by(dsn, request_verification(api))
    other = await sent_by(dsn, request_change(api, "third@example.com"))
    await change(api, dsn)
    assert (await confirm(api, CHANGE, other.token, token)).problem == "code-invalid"
    voided = "SELECT count(*) FROM messages WHERE voided_at IS NOT NULL AND due_at IS NULL"
    assert run_sql(dsn, voided) == [(3,)]


@pytest.mark.gen_test
async def test_a_change_of_the_password_between_proof_and_write_is_noticed(
    api: Api, dsn: str
) -> None:
    token = bearer(await api.registered_token())
    sent = await sent_by(dsn, request_change(api))
    with holding(dsn, "SELECT FROM users FOR UPDATE") as holder:
        task = asyncio.create_task(confirm(api, CHANGE, sent.token, token))
        await holder.sees_waiting(task)
        holder.run("UPDATE messages SET voided_at = now()")
        holder.commit()
    assert (await task).problem == "code-invalid"
    assert run_sql(dsn, "SELECT email FROM users") == [(EMAIL,)]
