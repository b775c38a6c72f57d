"""registration.open and registration.verification: who may register, and what comes first."""

import asyncio
from datetime import timedelta

import pytest

from rules.message_kinds import MessageKind
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.mail import MAIL, last_message, secrets_of
from tests.harness.recorded_statements import record_statements
from tests.harness.sql import run_sql
from tests.harness.waiting import until

EMAIL = "susan@example.com"
OFF = override_settings(**MAIL, REGISTRATION__VERIFICATION="off")
OPTIONAL = override_settings(**MAIL, REGISTRATION__VERIFICATION="optional")
REQUIRED = override_settings(**MAIL, REGISTRATION__VERIFICATION="required")
RESERVING = override_settings(
    **MAIL, REGISTRATION__VERIFICATION="required", REGISTRATION__QUARANTINE_DAYS=7
)
WEEK = timedelta(days=7).total_seconds()


def messages(dsn: str) -> list[tuple[str, str | None]]:
    return run_sql(dsn, "SELECT kind, recipient FROM messages ORDER BY kind, recipient")


def users(dsn: str) -> list[tuple[str, bool]]:
    return run_sql(dsn, "SELECT email, email_verified_at IS NOT NULL FROM users ORDER BY email_key")


async def verify(api: Api, dsn: str, email: str = EMAIL) -> Answer:
    """Verify an address by the token of the last message to it."""
    message_id = last_message(dsn, MessageKind.VERIFICATION, email)
    token = secrets_of(dsn, message_id).token
    return await api.request(
        "POST",
        "/api/user/verification/confirm",
        authorization=basic(email, PASSWORD),
        json_body={"token": token},
    )


def is_accepted(answer: Answer) -> bool:
    return (answer.status, answer.json) == (202, {})


@override_settings(REGISTRATION__OPEN="false")
@pytest.mark.parametrize(
    "request_",
    [
        {"json_body": {"email": EMAIL, "password": PASSWORD}},
        {"json_body": {"email": "no address"}},
        {"body": b"[1, 2", "headers": {"Content-Type": "text/plain"}},
        {"body": b"{", "headers": {"Content-Type": "application/json"}},
    ],
)
@pytest.mark.gen_test
async def test_a_closed_registration_is_rejected_before_the_body_is_checked(
    api: Api, dsn: str, request_: dict[str, object]
) -> None:
    answer = await api.request("POST", "/api/user/register", **request_)  # type: ignore[arg-type]
    assert (answer.status, answer.problem) == (403, "registration-closed")
    assert (await api.request("GET", "/api/user/register")).status == 405
    assert users(dsn) == []
    assert run_sql(dsn, "SELECT * FROM throttle") == []


@OFF
@pytest.mark.gen_test
async def test_without_verification_a_registration_sends_no_message(api: Api, dsn: str) -> None:
    assert (await api.register(EMAIL)).status == 201
    assert messages(dsn) == []
    assert run_sql(dsn, "SELECT verify_until FROM users") == [(None,)]


@OPTIONAL
@pytest.mark.gen_test
async def test_with_optional_verification_a_registration_is_201_and_a_message_is_sent(
    api: Api, dsn: str
) -> None:
    answer = await api.register(EMAIL)
    assert (answer.status, answer.json["email_verified"]) == (201, False)
    assert messages(dsn) == [("verification", EMAIL)]
    assert run_sql(dsn, "SELECT verify_until FROM users") == [(None,)]
    assert (await api.log_in(EMAIL)).status == 200
    assert (await api.register(EMAIL)).status == 409
    assert messages(dsn) == [("verification", EMAIL)]
    confirmed = await verify(api, dsn)
    assert (confirmed.status, confirmed.json["email_verified"]) == (200, True)


@override_settings(REGISTRATION__VERIFICATION="optional")
@pytest.mark.gen_test
async def test_with_optional_verification_and_mail_off_a_registration_sends_no_message(
    api: Api, dsn: str
) -> None:
    assert (await api.register(EMAIL)).status == 201
    assert messages(dsn) == []


@REQUIRED
@pytest.mark.gen_test
async def test_with_required_verification_a_free_and_a_taken_address_get_the_same_response(
    api: Api, dsn: str
) -> None:
    first, second = (
        await api.register("Susan@example.com"),
        await api.register(EMAIL, "another one"),
    )
    assert is_accepted(first)
    assert is_accepted(second)
    varying = {"X-Request-Id", "Date"}
    assert [item for item in first.headers.get_all() if item[0] not in varying] == [
        item for item in second.headers.get_all() if item[0] not in varying
    ]
    # The owner gets the message at the stored address, in the spelling of the first registration.
    assert messages(dsn) == [
        ("address-taken", "Susan@example.com"),
        ("verification", "Susan@example.com"),
    ]
    assert users(dsn) == [("Susan@example.com", False)]
    [(kind, has_secret)] = run_sql(
        dsn, "SELECT kind, key_id IS NOT NULL FROM messages WHERE kind = 'address-taken'"
    )
    assert (kind, has_secret) == ("address-taken", False)


@RESERVING
@pytest.mark.gen_test
async def test_free_taken_and_reserved_addresses_cost_the_same_statements_and_one_hash(
    api: Api, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.register("taken@example.com")
    await api.register("deleted@example.com")
    assert (await verify(api, dsn, "deleted@example.com")).status == 200
    deleted = await api.request(
        "DELETE", "/api/user", authorization=basic("deleted@example.com", PASSWORD)
    )
    assert deleted.status == 200
    run_sql(dsn, "DELETE FROM messages")
    sent = record_statements(monkeypatch)
    statements = []
    for email in ("free@example.com", "taken@example.com", "deleted@example.com"):
        sent.clear()
        assert is_accepted(await api.register(email))
        # A savepoint ends either way.
        statements.append([sql.replace("ROLLBACK TO", "RELEASE") for sql in sent])
    assert statements[0] == statements[1] == statements[2] != []
    # A row for each, and a message to those that a user has.
    assert messages(dsn) == [
        ("address-taken", "taken@example.com"),
        ("address-taken", None),
        ("verification", "free@example.com"),
    ]
    assert users(dsn) == [("free@example.com", False), ("taken@example.com", False)]


@REQUIRED
@pytest.mark.gen_test
async def test_two_registrations_of_an_address_at_once_make_one_user(api: Api, dsn: str) -> None:
    answers = await asyncio.gather(*[api.register(EMAIL) for _ in range(4)])
    assert all(map(is_accepted, answers))
    assert users(dsn) == [(EMAIL, False)]
    assert [kind for kind, _ in messages(dsn)].count("verification") == 1


@REQUIRED
@pytest.mark.gen_test
async def test_the_password_of_an_unverified_user_opens_only_the_verification(
    api: Api, dsn: str
) -> None:
    assert is_accepted(await api.register(EMAIL))
    right, wrong = basic(EMAIL, PASSWORD), basic(EMAIL, "wrong password")
    calls = [
        ("GET", "/api/user", None),
        ("PATCH", "/api/user", {"name": "Susan"}),
        ("DELETE", "/api/user", None),
        ("GET", "/api/user/login", None),
        ("GET", "/api/user/tokens", None),
        ("DELETE", "/api/user/tokens", None),
        ("GET", "/api/user/events", None),
        ("GET", "/api/verify", None),
        ("POST", "/api/user/email", {"email": "new@example.com", "current_password": PASSWORD}),
        ("POST", "/api/user/email/confirm", {"code": "12345678"}),
    ]
    for _ in range(2):  # the second time with a cached password
        for method, path, body in calls:
            answer = await api.request(method, path, authorization=right, json_body=body)
            assert (answer.status, answer.problem) == (403, "email-unverified"), path
    by_body = {"email": EMAIL, "password": PASSWORD}
    answer = await api.request("POST", "/api/user/login", json_body=by_body)
    assert (answer.status, answer.problem) == (403, "email-unverified")
    # That is no failure, and a wrong password is one.
    account = "SELECT failures FROM throttle WHERE subject LIKE 'account:%'"
    assert {failures for (failures,) in run_sql(dsn, account)} == {0}
    for path in ("/api/user/login", "/api/verify"):
        assert (await api.request("GET", path, authorization=wrong)).status == 401
    assert run_sql(dsn, account) == [(2,)]
    asked = await api.request("POST", "/api/user/verification", authorization=right)
    assert is_accepted(asked)
    assert (await verify(api, dsn)).status == 200
    assert (await api.log_in(EMAIL)).status == 200


@REQUIRED
@pytest.mark.gen_test
async def test_a_token_from_before_stays_valid_for_an_unverified_user(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    assert (await verify(api, dsn)).status == 200
    token = await api.token(EMAIL)
    run_sql(dsn, "UPDATE users SET email_verified_at = NULL")
    answer = await api.request("GET", "/api/user", authorization=bearer(token))
    assert (answer.status, answer.json["email_verified"]) == (200, False)
    assert (await api.log_in(EMAIL)).problem == "email-unverified"


@REQUIRED
@pytest.mark.gen_test
async def test_a_registration_that_is_not_verified_in_time_does_not_block_its_address(
    api: Api, dsn: str, clock: Clock
) -> None:
    assert is_accepted(await api.register(EMAIL, "the password of a stranger", name="Stranger"))
    [(first, left)] = run_sql(dsn, "SELECT id, verify_until FROM users")
    assert left.timestamp() == clock() + WEEK
    clock.advance(WEEK - 1)
    await api.register(EMAIL)
    assert run_sql(dsn, "SELECT id FROM users") == [(first,)]
    clock.advance(1)
    assert is_accepted(await api.register(EMAIL))
    [(second, name)] = run_sql(dsn, "SELECT id, name FROM users")
    assert second != first
    assert name is None
    assert (await verify(api, dsn)).status == 200
    assert run_sql(dsn, "SELECT verify_until FROM users") == [(None,)]
    clock.advance(WEEK)
    assert is_accepted(await api.register(EMAIL))
    assert run_sql(dsn, "SELECT id FROM users") == [(second,)]


@RESERVING
@pytest.mark.gen_test
async def test_a_void_registration_leaves_no_reservation_and_no_valid_message(
    api: Api, dsn: str, clock: Clock
) -> None:
    await api.register(EMAIL)
    # A message that is being sent would keep its lease.
    await until(lambda: run_sql(dsn, "SELECT FROM messages WHERE due_at IS NOT NULL") == [])
    old = last_message(dsn, MessageKind.VERIFICATION)
    # So that housekeeping does not delete it first.
    run_sql(dsn, "UPDATE messages SET expires_at = expires_at + interval '30 days'")
    clock.advance(WEEK)
    await api.register(EMAIL)
    assert run_sql(dsn, "SELECT * FROM reserved_emails") == []
    state = "SELECT user_id, recipient, due_at, voided_at IS NOT NULL FROM messages WHERE id = %s"
    assert run_sql(dsn, state, (old,)) == [(None, None, None, True)]
    assert ("user-deleted", EMAIL) not in messages(dsn)
    kinds = "SELECT kind FROM events ORDER BY id"
    assert [kind for (kind,) in run_sql(dsn, kinds)] == ["registered", "deleted", "registered"]


@override_settings(**MAIL, REGISTRATION__VERIFICATION="required", MAIL__NETWORK_PER_HOUR=2)
@pytest.mark.gen_test
async def test_registrations_are_limited_by_network_whether_or_not_the_address_is_taken(
    api: Api, dsn: str
) -> None:
    for _ in range(2):
        assert is_accepted(await api.register(EMAIL))
    for email in (EMAIL, "free@example.com"):
        answer = await api.register(email)
        assert (answer.status, answer.problem) == (429, "too-many-messages")
        assert int(answer.headers["Retry-After"]) > 3000
    assert users(dsn) == [(EMAIL, False)]


@override_settings(**MAIL, REGISTRATION__VERIFICATION="required", MAIL__RECIPIENT_PER_HOUR=3)
@pytest.mark.gen_test
async def test_the_message_about_a_taken_address_counts_toward_the_limit_of_the_recipient(
    api: Api, dsn: str
) -> None:
    for _ in range(5):
        assert is_accepted(await api.register(EMAIL))
    sent = [recipient is not None for _, recipient in messages(dsn)]
    assert (sent.count(True), sent.count(False)) == (3, 2)


@REQUIRED
@pytest.mark.gen_test
async def test_the_owner_of_a_taken_address_finds_the_attempt_among_the_events(
    api: Api, dsn: str
) -> None:
    await api.register(EMAIL)
    await verify(api, dsn)
    await api.register(EMAIL)
    answer = await api.request("GET", "/api/user/events", authorization=basic(EMAIL, PASSWORD))
    kinds = [event["kind"] for event in answer.json["events"]]
    assert kinds == ["address-taken", "email-verified", "registered"]


@OPTIONAL
@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, None),
        ("", None),
        ("fr", None),
        ("*", None),
        ("de", "de"),
        ("de-CH, fr;q=0.9", "de"),
        ("DE-at", "de"),
        ("fr, en;q=0.5, de;q=0.7", "de"),
        ("en, de", "en"),
        ("de;q=0, en;q=0.1", "en"),
        ("de;q=0", None),
        ("de;q=nan, en;q=2", None),
        ("deutsch", None),
        (",;,", None),
    ],
)
@pytest.mark.gen_test
async def test_the_language_is_stored_from_accept_language(
    api: Api, dsn: str, header: str | None, language: str | None
) -> None:
    answer = await api.request(
        "POST",
        "/api/user/register",
        json_body={"email": EMAIL, "password": PASSWORD},
        headers={} if header is None else {"Accept-Language": header},
    )
    assert answer.status == 201
    assert run_sql(dsn, "SELECT language FROM users") == [(language,)]
    assert run_sql(dsn, "SELECT language FROM messages") == [(language or "en",)]
