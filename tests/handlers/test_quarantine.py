"""registration.quarantine_days: the address of a deleted user stays reserved."""

import re
from pathlib import Path

import pytest

from tests.harness.api import PASSWORD, Answer, Api, basic
from tests.harness.command_line import manage
from tests.harness.configuration import override_settings
from tests.harness.imported_users import HASH, written
from tests.harness.mail_calls import NEW_EMAIL, SETTINGS, change, verify
from tests.harness.recorded_statements import record_statements
from tests.harness.sql import all_text, run_sql

EMAIL = "susan@example.com"
DAYS = 7

reserving = override_settings(REGISTRATION__QUARANTINE_DAYS=DAYS)


async def deleted(api: Api, email: str = EMAIL) -> None:
    """Register a user and delete it."""
    assert (await api.register(email)).status == 201
    answer = await api.request("DELETE", "/api/user", authorization=basic(email, PASSWORD))
    assert answer.status == 200


def is_taken(answer: Answer) -> bool:
    return (answer.status, answer.json.get("type", "")[-12:]) == (409, "#email-taken")


def reserved(dsn: str) -> int:
    return int(run_sql(dsn, "SELECT count(*) FROM reserved_emails")[0][0])


@reserving
@pytest.mark.parametrize("email", [EMAIL, "Susan@Example.com"])
@pytest.mark.gen_test
async def test_the_address_of_a_deleted_user_is_taken(api: Api, email: str) -> None:
    await deleted(api)
    assert is_taken(await api.register(email))
    assert (await api.register("other@example.com")).status == 201


@reserving
@pytest.mark.gen_test
async def test_a_reserved_address_gets_the_response_of_a_taken_one_after_the_same_statements(
    api: Api, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deleted(api)
    await api.register("taken@example.com")
    sent = record_statements(monkeypatch)
    answers, statements = [], []
    for email in (EMAIL, "taken@example.com"):
        sent.clear()
        answer = await api.register(email)
        answers.append({**answer.json, "request_id": ""})
        statements.append([*sent])
    assert answers[0] == answers[1]
    assert statements[0] == statements[1] != []
    assert run_sql(dsn, "SELECT email FROM users") == [("taken@example.com",)]


@reserving
@pytest.mark.gen_test
async def test_only_a_digest_is_stored_until_a_time_of_postgres(api: Api, dsn: str) -> None:
    await deleted(api)
    assert EMAIL not in all_text(dsn)
    [(digest, days)] = run_sql(
        dsn,
        "SELECT email_digest, extract(epoch FROM until - clock_timestamp()) / 86400"
        " FROM reserved_emails",
    )
    assert re.fullmatch(r"[A-Za-z0-9_-]{24}", digest)
    assert DAYS - 0.01 < days <= DAYS
    [(audited,)] = run_sql(dsn, "SELECT DISTINCT email_digest FROM events")
    assert audited != digest


@reserving
@pytest.mark.gen_test
async def test_an_expired_reservation_reserves_nothing(api: Api, dsn: str) -> None:
    await deleted(api)
    run_sql(dsn, "UPDATE reserved_emails SET until = clock_timestamp()")
    assert (await api.register(EMAIL)).status == 201


@pytest.mark.gen_test
async def test_by_default_nothing_is_reserved(api: Api, dsn: str) -> None:
    await deleted(api)
    assert reserved(dsn) == 0
    assert (await api.register(EMAIL)).status == 201


@reserving
@pytest.mark.parametrize("how", ["add", "import"])
@pytest.mark.gen_test
async def test_an_administrator_who_adds_the_address_ends_its_reservation(
    api: Api, dsn: str, how: str, tmp_path: Path
) -> None:
    await deleted(api)
    await deleted(api, "other@example.com")
    if how == "add":
        code = manage("users", "add", EMAIL, stdin=f"{PASSWORD}\n", DATABASE_URL=dsn).returncode
    else:
        file = written(tmp_path / "users.jsonl", {"email": EMAIL, "password_hash": HASH})
        code = manage("users", "import", file, DATABASE_URL=dsn).returncode
    assert code == 0
    assert (await api.log_in(EMAIL)).status == 200
    assert reserved(dsn) == 1


@reserving
@pytest.mark.gen_test
async def test_a_deletion_by_an_administrator_reserves_the_address(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    ended = manage(
        "users", "delete", EMAIL, "--yes",
        DATABASE_URL=dsn, USERAUTH_REGISTRATION__QUARANTINE_DAYS=str(DAYS),
    )  # fmt: skip
    assert ended.returncode == 0, ended
    assert is_taken(await api.register(EMAIL))


@reserving
@pytest.mark.gen_test
async def test_a_failed_deletion_reserves_nothing(
    api: Api, dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the event cannot be written")

    await api.register(EMAIL)
    monkeypatch.setattr("services.audit.AuditTrail.write", fail)
    answer = await api.request("DELETE", "/api/user", authorization=basic(EMAIL, PASSWORD))
    caplog.clear()
    assert answer.status == 500
    assert reserved(dsn) == 0


@override_settings(**SETTINGS, REGISTRATION__QUARANTINE_DAYS=DAYS)
@pytest.mark.gen_test
async def test_the_address_that_an_undo_would_restore_stays_taken(api: Api, dsn: str) -> None:
    """Otherwise a thief could change the address, delete the user, and register the old one."""
    await api.register(EMAIL)
    await verify(api, dsn)
    assert await change(api, dsn)
    await api.request("DELETE", "/api/user", authorization=basic(NEW_EMAIL, PASSWORD))
    for email in (EMAIL, NEW_EMAIL):
        assert is_taken(await api.register(email))
    assert reserved(dsn) == 2
