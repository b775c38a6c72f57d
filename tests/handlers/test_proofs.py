"""The proofs of messages: one exact form, one use, an end, and the same answer to all others."""

import pytest

from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.mail_calls import (
    CHANGE,
    EMAIL,
    NEW_PASSWORD,
    RESET,
    SETTINGS,
    SUSAN,
    UNDO,
    VERIFICATION,
    Ready,
    confirm,
    read,
    ready,
    request_reset,
    sent_by,
)
from tests.harness.sql import run_sql

pytestmark = override_settings(**SETTINGS)
NEW_SUSAN = basic(f"new.{EMAIL}", PASSWORD)
FAILED = "SELECT count(*) FROM events WHERE kind = 'code-failed'"
HOUR, DAY = 3600, 86_400
LIFETIMES = {RESET: HOUR, VERIFICATION: DAY, CHANGE: DAY, UNDO: 7 * DAY}
paths = pytest.mark.parametrize("path", [RESET, VERIFICATION, CHANGE, UNDO])
repeatable = pytest.mark.parametrize("path", [VERIFICATION, CHANGE])
single = pytest.mark.parametrize("path", [RESET, UNDO])
forms = pytest.mark.parametrize("form", ["token", "code"])


def proof_of(found: Ready, form: str) -> dict[str, object]:
    return found.token if form == "token" else found.code


def assert_invalid(answer: Answer, form: str = "token") -> None:
    """Assert the one answer to every proof that is not valid."""
    assert (answer.status, answer.problem) == (422, "code-invalid")
    assert answer.json["errors"] == [{"field": form, "message": "is not valid"}]


def is_used(dsn: str, found: Ready) -> bool:
    query = "SELECT used_at IS NOT NULL FROM messages WHERE id = %s"
    return bool(run_sql(dsn, query, (found.sent.id,))[0][0])


@paths
@forms
@pytest.mark.gen_test
async def test_a_token_and_a_code_are_accepted(api: Api, dsn: str, path: str, form: str) -> None:
    found = await ready(api, dsn, path)
    assert (await found.send(api, proof_of(found, form))).status == 200
    assert is_used(dsn, found)


@paths
@pytest.mark.gen_test
async def test_anything_but_one_proof_is_rejected_as_invalid_fields(
    api: Api, dsn: str, path: str
) -> None:
    found = await ready(api, dsn, path)
    code, request = {"code": found.sent.secrets.code}, {"request": found.sent.id}
    wrong_types = ({"code": 12345678}, {"token": ["a"]}, {"code": True})
    bodies = [{}, request, found.token | code, found.token | found.code, *wrong_types]
    bodies.append(code if found.authorization is None else code | request)
    bodies.append(found.token | request)
    bodies.append(found.token | {"unknown": "x"})
    for body in bodies:
        answer = await found.send(api, body)
        assert (answer.status, answer.problem) == (422, "invalid-fields"), body
    assert (await found.send(api, found.code)).status == 200


@paths
@pytest.mark.gen_test
async def test_a_malformed_proof_is_rejected_like_a_wrong_one(
    api: Api, dsn: str, path: str
) -> None:
    found = await ready(api, dsn, path)
    token, code = found.sent.secrets.token, found.sent.secrets.code
    tokens = [
        *("", ".", "x", token + "=", token + "A", token[:-1], token.upper(), f" {token}"),
        *(token.replace(".", ""), f"{token}\u0660", "a" * 500, found.sent.id),
        f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}",
    ]
    for wrong in tokens:
        assert_invalid(await found.send(api, {"token": wrong}))
    arabic = code.translate({ord(str(digit)): chr(0x660 + digit) for digit in range(10)})
    for wrong in ("", "1234567", code + "0", f"{code[:4]} {code[4:]}", arabic, "0x" + code[:6]):
        assert_invalid(await found.send(api, {**found.code, "code": wrong}), "code")
    assert run_sql(dsn, "SELECT max(tries) FROM messages") == [(0,)]
    assert (await found.send(api, found.token)).status == 200


@single
@pytest.mark.gen_test
async def test_a_code_is_bound_to_its_request(api: Api, dsn: str, path: str) -> None:
    found = await ready(api, dsn, path)
    other = await sent_by(dsn, request_reset(api, str(recipient(dsn))))
    for request in ("", "x", other.id, "00000000-0000-0000-0000-000000000000"):
        assert_invalid(await found.send(api, {**found.code, "request": request}), "code")
    assert (await found.send(api, found.code)).status == 200


def recipient(dsn: str) -> object:
    """Return the address of the only user."""
    return run_sql(dsn, "SELECT email FROM users")[0][0]


@paths
@forms
@pytest.mark.gen_test
async def test_a_proof_expires(api: Api, dsn: str, clock: Clock, path: str, form: str) -> None:
    found = await ready(api, dsn, path)
    if found.authorization is not None:
        found = Ready(path, found.sent, SUSAN)  # the token expires as soon
    proof = proof_of(found, form)
    clock.advance(LIFETIMES[path] - 1)
    wrong = {**proof, "password": "short"} if path == RESET else {**proof, "unknown": 1}
    assert (await found.send(api, wrong)).problem == "invalid-fields"
    clock.advance(1)
    assert_invalid(await found.send(api, proof), form)
    clock.advance(-1)
    assert (await found.send(api, proof)).status == 200


@single
@forms
@pytest.mark.gen_test
async def test_a_used_proof_is_rejected_like_a_wrong_one(
    api: Api, dsn: str, path: str, form: str
) -> None:
    found = await ready(api, dsn, path)
    assert (await found.send(api, found.token)).status == 200
    users = run_sql(dsn, "SELECT * FROM users")
    assert_invalid(await found.send(api, proof_of(found, form)), form)
    assert run_sql(dsn, "SELECT * FROM users") == users
    assert run_sql(dsn, FAILED) == [(1,)]


@repeatable
@forms
@pytest.mark.gen_test
async def test_a_confirmation_with_credentials_can_be_repeated(
    api: Api, dsn: str, path: str, form: str
) -> None:
    found = await ready(api, dsn, path)
    first = await found.send(api, found.token)
    users = run_sql(dsn, "SELECT * FROM users")
    events = run_sql(dsn, "SELECT count(*) FROM events")
    again = await found.send(api, proof_of(found, form))
    assert (again.status, again.json) == (first.status, first.json)
    assert run_sql(dsn, "SELECT * FROM users") == users
    assert run_sql(dsn, "SELECT count(*) FROM events") == events


@repeatable
@forms
@pytest.mark.gen_test
async def test_the_proof_of_another_user_is_rejected(
    api: Api, dsn: str, path: str, form: str
) -> None:
    found = await ready(api, dsn, path)
    stranger = bearer(await api.registered_token("peter@example.com"))
    answer = await confirm(api, path, proof_of(found, form), stranger)
    assert_invalid(answer, form)
    assert run_sql(dsn, "SELECT count(*) FROM users WHERE email_verified_at IS NOT NULL") == [(0,)]
    assert not is_used(dsn, found)
    assert (await found.send(api, found.token)).status == 200


@paths
@forms
@pytest.mark.gen_test
async def test_a_proof_of_another_purpose_is_rejected(
    api: Api, dsn: str, path: str, form: str
) -> None:
    found = await ready(api, dsn, path)
    for other in {RESET, VERIFICATION, CHANGE, UNDO} - {path}:
        authorization = SUSAN if other in {VERIFICATION, CHANGE} else None
        if path == UNDO and authorization:
            authorization = NEW_SUSAN
        elsewhere = Ready(other, found.sent, authorization)
        assert_invalid(await elsewhere.send(api, proof_of(elsewhere, form)), form)
    assert (await found.send(api, proof_of(found, form))).status == 200


@single
@forms
@pytest.mark.gen_test
async def test_the_proof_of_a_disabled_user_is_rejected(
    api: Api, dsn: str, path: str, form: str
) -> None:
    found = await ready(api, dsn, path)
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    assert_invalid(await found.send(api, proof_of(found, form)), form)
    assert run_sql(dsn, FAILED) == [(1,)]
    run_sql(dsn, "UPDATE users SET disabled_at = NULL")
    assert (await found.send(api, proof_of(found, form))).status == 200


@paths
@forms
@pytest.mark.gen_test
async def test_a_void_proof_is_rejected_like_a_wrong_one(
    api: Api, dsn: str, path: str, form: str
) -> None:
    found = await ready(api, dsn, path)
    run_sql(dsn, "UPDATE messages SET voided_at = now()")
    assert_invalid(await found.send(api, proof_of(found, form)), form)
    assert run_sql(dsn, FAILED) == [(1,)]


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (RESET, "password_version = 2"),
        (VERIFICATION, "password_version = 2"),
        (CHANGE, "password_version = 2"),
        (RESET, "email = 'other@example.com'"),
        (VERIFICATION, "email = 'other@example.com'"),
    ],
)
@forms
@pytest.mark.gen_test
async def test_a_proof_is_bound_to_the_password_and_the_address(
    api: Api, dsn: str, path: str, change: str, form: str
) -> None:
    """A server of an earlier version changes a password without making messages void."""
    found = await ready(api, dsn, path)
    run_sql(dsn, f"UPDATE users SET {change}")  # noqa: S608
    assert_invalid(await found.send(api, proof_of(found, form)), form)


@pytest.mark.gen_test
async def test_an_undo_is_not_bound_to_the_password(api: Api, dsn: str) -> None:
    found = await ready(api, dsn, UNDO)
    run_sql(dsn, "UPDATE users SET password_version = password_version + 1")
    assert (await found.send(api, found.token)).status == 200


@paths
@pytest.mark.gen_test
async def test_a_proof_made_with_an_unknown_key_is_rejected(api: Api, dsn: str, path: str) -> None:
    found = await ready(api, dsn, path)
    for form in ("token", "code"):
        forged = Ready(
            path,
            read(dsn, found.sent.id, "another key, of 32 characters or more"),
            found.authorization,
        )
        assert_invalid(await forged.send(api, proof_of(forged, form)), form)


@paths
@pytest.mark.gen_test
async def test_a_head_or_get_uses_no_proof(api: Api, dsn: str, path: str) -> None:
    found = await ready(api, dsn, path)
    target = path if path == UNDO else f"{path}/confirm"
    for method in ("GET", "HEAD"):
        answer = await api.request(
            method, f"{target}?token={found.sent.secrets.token}", authorization=found.authorization
        )
        assert answer.status == 405
    assert not is_used(dsn, found)


@repeatable
@pytest.mark.gen_test
async def test_a_confirmation_without_credentials_is_401(api: Api, dsn: str, path: str) -> None:
    found = await ready(api, dsn, path)
    answer = await confirm(api, path, found.token)
    assert (answer.status, answer.problem) == (401, "credentials-missing")
    assert (await confirm(api, path, found.sent.requested_code)).status == 401


@pytest.mark.gen_test
async def test_a_proof_without_credentials_ignores_the_header(api: Api, dsn: str) -> None:
    found = await ready(api, dsn, RESET)
    assert (await confirm(api, RESET, found.token, "Bearer nonsense")).status == 200


@pytest.mark.gen_test
async def test_two_resets_are_both_valid_until_one_is_used(api: Api, dsn: str) -> None:
    await api.register()
    older, newer = [await sent_by(dsn, request_reset(api)) for _ in range(2)]
    assert (await confirm(api, RESET, older.token)).status == 200
    assert_invalid(await confirm(api, RESET, newer.token))
    assert_invalid(await confirm(api, RESET, newer.requested_code), "code")
    assert (await api.log_in(password=NEW_PASSWORD)).status == 200
