"""/api/user/password/reset: a new password in place of a forgotten one."""

import asyncio

import pytest

from rules.message_kinds import MessageKind
from services.event_kinds import EventKind
from settings import Settings
from tests.harness.accounts import event_kinds_in_order
from tests.harness.another_server import another_server
from tests.harness.api import PASSWORD, Api, basic, bearer, rejected_fields
from tests.harness.blocked_hashes import BlockedHashes
from tests.harness.clock import Clock
from tests.harness.configuration import KEY, override_settings, settings_with
from tests.harness.mail_calls import (
    CHANGE,
    EMAIL,
    NEW_EMAIL,
    NEW_PASSWORD,
    RESET,
    SETTINGS,
    SUSAN,
    VERIFICATION,
    change,
    confirm,
    message_ids,
    request_change,
    request_reset,
    request_verification,
    sent_by,
    verify,
)
from tests.harness.recorded_statements import record_statements
from tests.harness.row_locks import holding
from tests.harness.sql import run_sql
from tests.harness.waiting import until


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    return settings_with(**SETTINGS, **getattr(request, "param", {}))


@pytest.mark.gen_test
async def test_a_request_sends_a_message_and_returns_its_id(api: Api, dsn: str) -> None:
    await api.register()
    answer = await request_reset(api, "SUSAN@example.com")
    assert answer.status == 202
    rows = run_sql(dsn, "SELECT id, kind, recipient FROM messages")
    assert rows == [(answer.json["request"], MessageKind.PASSWORD_RESET, EMAIL)]
    assert event_kinds_in_order(dsn)[-1] == EventKind.RESET_REQUESTED


@pytest.mark.gen_test
async def test_the_answer_is_the_same_for_known_unknown_disabled_and_unverified_addresses(
    api: Api, dsn: str
) -> None:
    await api.register()
    await api.register("disabled@example.com")
    await api.register("verified@example.com")
    await verify(api, dsn, basic("verified@example.com", PASSWORD))
    run_sql(dsn, "UPDATE users SET disabled_at = now() WHERE email LIKE 'disabled%%'", {})
    before = message_ids(dsn, unsent=True)
    sent = {}
    for email in (EMAIL, "disabled@example.com", "verified@example.com", "unknown@example.com"):
        answer = await request_reset(api, email)
        assert (answer.status, [*answer.json]) == (202, ["request"])
        assert len(answer.json["request"]) == 36
        [(recipient, user_id, key_id)] = run_sql(
            dsn,
            "SELECT recipient, user_id, key_id FROM messages WHERE id = %s",
            (answer.json["request"],),
        )
        assert (recipient is None) == (user_id is None)
        assert key_id is not None
        sent[email] = recipient
    assert sent == {
        EMAIL: EMAIL,
        "disabled@example.com": None,
        "verified@example.com": "verified@example.com",
        "unknown@example.com": None,
    }
    added = message_ids(dsn, unsent=True) - before
    assert len(added) == len(sent)
    # Each goes through the queue, since a sender that works delays the next request.
    queued = "SELECT id FROM messages WHERE due_at IS NOT NULL OR attempts > 0"
    assert added <= {row[0] for row in run_sql(dsn, queued)}
    assert event_kinds_in_order(dsn)[-4:] == [EventKind.RESET_REQUESTED] * 4


@pytest.mark.gen_test
async def test_a_request_executes_the_same_statements_for_known_and_unknown_addresses(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.register()
    sent = record_statements(monkeypatch)
    statements = []
    for email in (EMAIL, "unknown@example.com"):
        sent.clear()
        assert (await request_reset(api, email)).status == 202
        statements.append([*sent])
    assert statements[0] == statements[1] != []


@pytest.mark.parametrize("email", ["", "susan", "susan@", "@example.com", "a b@example.com"])
@pytest.mark.gen_test
async def test_what_is_no_address_is_rejected(api: Api, dsn: str, email: str) -> None:
    assert rejected_fields(await request_reset(api, email)) == ["email"]
    assert message_ids(dsn, unsent=True) == set()


@override_settings(REGISTRATION__INTERNAL_DOMAINS="false")
@pytest.mark.gen_test
async def test_an_address_that_was_accepted_once_can_reset(api: Api, dsn: str) -> None:
    await api.register()
    run_sql(dsn, "UPDATE users SET email = 'susan@corp.local', email_key = 'susan@corp.local'")
    sent = await sent_by(dsn, request_reset(api, "susan@corp.local"))
    assert (await confirm(api, RESET, sent.token)).status == 200


@pytest.mark.gen_test
async def test_a_reset_sets_the_password_verifies_the_address_and_revokes_every_token(
    api: Api, dsn: str
) -> None:
    tokens = [await api.registered_token(), await api.token()]
    sent = await sent_by(dsn, request_reset(api))
    before = message_ids(dsn)
    answer = await confirm(api, RESET, sent.token)
    assert (answer.status, answer.json) == (200, {})
    for token in tokens:
        assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401
    assert (await api.log_in()).status == 401
    user = await api.request("GET", "/api/user", authorization=basic(EMAIL, NEW_PASSWORD))
    assert user.json["email_verified"] is True
    [(kind, revoked)] = run_sql(
        dsn,
        "SELECT kind, (SELECT count(*) FROM tokens WHERE revoked_at IS NOT NULL) FROM messages"
        " WHERE id = ANY (%s::uuid[])",
        ([*(message_ids(dsn) - before)],),
    )
    assert (kind, revoked) == (MessageKind.PASSWORD_CHANGED, len(tokens))
    assert EventKind.PASSWORD_RESET in event_kinds_in_order(dsn)


@pytest.mark.gen_test
async def test_a_remembered_password_is_rejected_after_a_reset(api: Api, dsn: str) -> None:
    await api.register()
    for _ in range(2):
        assert (await api.request("GET", "/api/user", authorization=SUSAN)).status == 200
    sent = await sent_by(dsn, request_reset(api))
    await confirm(api, RESET, sent.token)
    answer = await api.request("GET", "/api/user", authorization=SUSAN)
    assert (answer.status, answer.problem) == (401, "credentials-invalid")


@pytest.mark.gen_test
async def test_the_first_proof_of_an_address_by_a_reset_removes_the_name(
    api: Api, dsn: str
) -> None:
    await api.register(name="Mallory")
    for expected in (None, "Susan"):
        sent = await sent_by(dsn, request_reset(api))
        await confirm(api, RESET, sent.token)
        authorization = basic(EMAIL, NEW_PASSWORD)
        user = await api.request("GET", "/api/user", authorization=authorization)
        assert user.json["name"] == expected
        await api.request(
            "PATCH", "/api/user", authorization=authorization, json_body={"name": "Susan"}
        )


@override_settings(THROTTLE__PAIR_FAILURES=2, THROTTLE__ACCOUNT_FAILURES=2)
@pytest.mark.gen_test
async def test_a_reset_clears_the_failures_of_the_account(api: Api, dsn: str) -> None:
    await api.register()
    for _ in range(3):
        waiting = await api.log_in(password="wrong")
    assert waiting.status == 429
    sent = await sent_by(dsn, request_reset(api))
    assert (await confirm(api, RESET, sent.token)).status == 200
    assert (await api.log_in(password=NEW_PASSWORD)).status == 200


@pytest.mark.parametrize("password", ["short", "x" * 1025, "control \n character"])
@pytest.mark.gen_test
async def test_a_rejected_password_uses_nothing_and_counts_no_wrong_code(
    api: Api, dsn: str, password: str
) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    wrong = {"request": sent.id, "code": sent.wrong_code}
    for proof in (sent.token, sent.requested_code, wrong, {"token": "x"}):
        answer = await confirm(api, RESET, {**proof, "password": password})
        assert rejected_fields(answer) == ["password"]
    assert run_sql(dsn, "SELECT tries, used_at FROM messages") == [(0, None)]
    assert run_sql(dsn, "SELECT count(*) FROM throttle WHERE subject LIKE 'code:%%'", {}) == [(0,)]
    assert (await confirm(api, RESET, sent.requested_code)).status == 200


@override_settings(PASSWORDS__REFUSE_COMMON="true")
@pytest.mark.gen_test
async def test_a_password_of_the_users_own_words_is_rejected_after_the_proof(
    api: Api, dsn: str
) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    own, common = {"password": "susan@example.com"}, {"password": "password"}
    wrong = {"request": sent.id, "code": sent.wrong_code}
    assert (await confirm(api, RESET, wrong | own)).problem == "code-invalid"
    assert rejected_fields(await confirm(api, RESET, wrong | common)) == ["password"]
    for proof in (sent.token, sent.requested_code):
        assert rejected_fields(await confirm(api, RESET, proof | own)) == ["password"]
    assert run_sql(dsn, "SELECT tries, used_at FROM messages") == [(1, None)]
    assert (await confirm(api, RESET, sent.requested_code)).status == 200


@override_settings(PASSWORDS__WORKERS=1, PASSWORDS__MAX_WAIT_SECONDS=0.05)
@pytest.mark.gen_test
async def test_an_overloaded_server_uses_nothing(api: Api, dsn: str, hashes: BlockedHashes) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    log_in = asyncio.create_task(api.log_in())
    await until(lambda: hashes.threads)
    for proof in (sent.requested_code, sent.token):
        answer = await confirm(api, RESET, proof)
        assert (answer.status, answer.problem) == (503, "overloaded")
    hashes.may_continue.set()
    assert (await log_in).status == 200
    assert run_sql(dsn, "SELECT tries, used_at FROM messages") == [(0, None)]
    assert (await confirm(api, RESET, sent.requested_code)).status == 200


@override_settings(THROTTLE__HASHES_PER_MINUTE=1)
@pytest.mark.gen_test
async def test_a_reset_counts_toward_the_hashes_of_its_user(api: Api, dsn: str) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    assert (await confirm(api, RESET, sent.token)).status == 200
    assert (await api.log_in(password=NEW_PASSWORD)).status == 429


@pytest.mark.parametrize("form", ["token", "code"])
@pytest.mark.gen_test
async def test_of_two_resets_at_once_on_two_servers_one_succeeds(
    api: Api, dsn: str, settings: Settings, clock: Clock, form: str
) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    proof = sent.token if form == "token" else sent.requested_code
    async with another_server(settings, [KEY], dsn, clock) as other:
        with holding(dsn, "SELECT FROM users FOR UPDATE") as holder:
            tasks = [
                asyncio.create_task(
                    confirm(each, RESET, {**proof, "password": f"{number} {PASSWORD}"})
                )
                for number, each in enumerate((api, other))
            ]
            await holder.sees_waiting(*tasks)
            holder.commit()
        answers = await asyncio.gather(*tasks)
    assert sorted(answer.status for answer in answers) == [200, 422]
    winner = [answer.status for answer in answers].index(200)
    assert (await api.log_in(password=f"{winner} {PASSWORD}")).status == 200
    assert (await api.log_in(password=f"{1 - winner} {PASSWORD}")).status == 401


@pytest.mark.parametrize("change", ["disabled_at = now()", "password_version = 2"])
@pytest.mark.gen_test
async def test_what_changes_between_the_proof_and_the_write_is_noticed(
    api: Api, dsn: str, change: str
) -> None:
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    with holding(dsn, f"UPDATE users SET {change}") as holder:  # noqa: S608
        task = asyncio.create_task(confirm(api, RESET, sent.token))
        await holder.sees_waiting(task)
        holder.commit()
    assert (await task).problem == "code-invalid"
    assert run_sql(dsn, "SELECT used_at FROM messages") == [(None,)]


@pytest.mark.gen_test
async def test_a_login_that_races_with_a_reset_is_in_or_out(
    api: Api, dsn: str, hashes: BlockedHashes
) -> None:
    """The login has verified the old password when the reset commits."""
    await api.register()
    sent = await sent_by(dsn, request_reset(api))
    log_in = asyncio.create_task(api.log_in())
    await until(lambda: hashes.threads)
    assert (await confirm(api, RESET, sent.token)).status == 200
    hashes.may_continue.set()
    assert (await log_in).status == 401
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE revoked_at IS NULL") == [(0,)]


@pytest.mark.gen_test
async def test_a_new_password_makes_the_messages_of_a_user_void(api: Api, dsn: str) -> None:
    for path in ("/api/user", RESET):
        run_sql(dsn, "DELETE FROM messages; DELETE FROM users")
        await api.register()
        proofs = {
            RESET: await sent_by(dsn, request_reset(api)),
            VERIFICATION: await sent_by(dsn, request_verification(api)),
            CHANGE: await sent_by(dsn, request_change(api)),
        }
        if path == RESET:
            used = await sent_by(dsn, request_reset(api))
            assert (await confirm(api, RESET, used.token)).status == 200
        else:
            body = {"password": NEW_PASSWORD}
            answer = await api.request("PATCH", path, authorization=SUSAN, json_body=body)
            assert answer.status == 200
        authorization = basic(EMAIL, NEW_PASSWORD)
        for target, sent in proofs.items():
            caller = None if target == RESET else authorization
            for proof in (sent.token, sent.code if caller else sent.requested_code):
                answer = await confirm(api, target, proof, caller)
                assert answer.problem == "code-invalid", target
        voided = "SELECT count(*) FROM messages WHERE voided_at IS NOT NULL"
        assert run_sql(dsn, voided) == [(len(proofs),)]


@pytest.mark.gen_test
async def test_a_new_address_makes_a_reset_void(api: Api, dsn: str) -> None:
    await api.register()
    reset = await sent_by(dsn, request_reset(api))
    await change(api, dsn)
    for proof in (reset.token, reset.requested_code):
        assert (await confirm(api, RESET, proof)).problem == "code-invalid"
    assert (await api.log_in(NEW_EMAIL)).status == 200


@pytest.mark.gen_test
async def test_the_deletion_of_the_user_makes_a_reset_void(api: Api, dsn: str) -> None:
    await api.register()
    reset = await sent_by(dsn, request_reset(api))
    assert (await api.request("DELETE", "/api/user", authorization=SUSAN)).status == 200
    await api.register()
    for proof in (reset.token, reset.requested_code):
        assert (await confirm(api, RESET, proof)).problem == "code-invalid"
