"""/api/user/verification: the proof that the user owns the email address."""

import asyncio

import pytest

from rules.message_kinds import MessageKind
from services.event_kinds import EventKind
from settings import Settings
from tests.harness.another_server import another_server
from tests.harness.api import Api, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import KEY, override_settings
from tests.harness.mail_calls import (
    EMAIL,
    SETTINGS,
    SUSAN,
    VERIFICATION,
    change,
    confirm,
    message_ids,
    request_verification,
    sent_by,
    verify,
)
from tests.harness.row_locks import holding
from tests.harness.sql import run_sql

pytestmark = override_settings(**SETTINGS)


@pytest.mark.gen_test
async def test_a_request_sends_a_message_to_the_address_of_the_user(api: Api, dsn: str) -> None:
    token = await api.registered_token()
    answer = await request_verification(api, bearer(token))
    assert (answer.status, answer.json) == (202, {})
    rows = run_sql(dsn, "SELECT kind, recipient FROM messages")
    assert rows == [(MessageKind.VERIFICATION, EMAIL)]


@pytest.mark.gen_test
async def test_a_request_without_credentials_is_401(api: Api) -> None:
    answer = await api.request("POST", VERIFICATION)
    assert (answer.status, answer.problem) == (401, "credentials-missing")


@pytest.mark.gen_test
async def test_a_verified_address_gets_no_message(api: Api, dsn: str) -> None:
    await api.register()
    await verify(api, dsn)
    before = message_ids(dsn)
    answer = await request_verification(api)
    assert (answer.status, answer.json) == (202, {})
    assert message_ids(dsn) == before


@pytest.mark.gen_test
async def test_a_confirmation_returns_the_user_with_a_verified_address(api: Api, dsn: str) -> None:
    token = await api.registered_token()
    before = await api.request("GET", "/api/user", authorization=bearer(token))
    assert before.json["email_verified"] is False
    sent = await sent_by(dsn, request_verification(api))
    answer = await confirm(api, VERIFICATION, sent.token, bearer(token))
    assert (answer.status, answer.json["email_verified"]) == (200, True)
    user = await api.request("GET", "/api/user", authorization=bearer(token))
    assert user.json == answer.json
    assert run_sql(dsn, "SELECT kind FROM events ORDER BY id DESC LIMIT 1") == [
        (EventKind.EMAIL_VERIFIED,)
    ]


@pytest.mark.gen_test
async def test_a_user_who_is_verified_need_not_verify_in_time(api: Api, dsn: str) -> None:
    await api.register()
    run_sql(dsn, "UPDATE users SET verify_until = now() + interval '1 year'")
    await verify(api, dsn)
    assert run_sql(dsn, "SELECT verify_until FROM users") == [(None,)]


@pytest.mark.gen_test
async def test_two_confirmations_at_once_on_two_servers_verify_once(
    api: Api, dsn: str, settings: Settings, clock: Clock
) -> None:
    token = await api.registered_token()
    sent = await sent_by(dsn, request_verification(api))
    async with another_server(settings, [KEY], dsn, clock) as other:
        with holding(dsn, "SELECT FROM users FOR UPDATE") as holder:
            tasks = [
                asyncio.create_task(confirm(each, VERIFICATION, sent.token, bearer(token)))
                for each in (api, other)
            ]
            await holder.sees_waiting(*tasks)
            holder.commit()
        answers = await asyncio.gather(*tasks)
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].json == answers[1].json
    events = "SELECT count(*) FROM events WHERE kind = 'email-verified'"
    assert run_sql(dsn, events) == [(1,)]


@pytest.mark.gen_test
async def test_a_new_address_makes_a_verification_void(api: Api, dsn: str) -> None:
    token = bearer(await api.registered_token())
    sent = await sent_by(dsn, request_verification(api))
    await change(api, dsn)
    for proof in (sent.token, sent.code):
        assert (await confirm(api, VERIFICATION, proof, token)).problem == "code-invalid"


@pytest.mark.gen_test
async def test_a_wrong_code_counts_for_each_valid_message_of_its_purpose(
    api: Api, dsn: str
) -> None:
    await api.register()
    older, newer = [await sent_by(dsn, request_verification(api)) for _ in range(2)]
    wrong = next(
        code
        for code in (f"{number:08}" for number in range(3))
        if code not in {older.secrets.code, newer.secrets.code}
    )
    answer = await confirm(api, VERIFICATION, {"code": wrong}, SUSAN)
    assert answer.problem == "code-invalid"
    assert run_sql(dsn, "SELECT tries FROM messages") == [(1,), (1,)]
    for sent in (newer, older):
        assert (await confirm(api, VERIFICATION, sent.code, SUSAN)).status == 200
    assert run_sql(dsn, "SELECT tries FROM messages") == [(1,), (1,)]
