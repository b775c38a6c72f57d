"""The periodic tasks that a server runs from its start."""

import asyncio
from contextlib import suppress
from unittest.mock import patch

import pytest

from db.errors import DatabaseError
from postgres.plain_connection import plain_connection
from rules.errors import DatabaseUnavailable, Overloaded
from settings import Settings
from tests.harness.clock import Clock
from tests.harness.configuration import KEY, override_settings, settings_with
from tests.harness.databases import apply, new_database
from tests.harness.mail import MAIL
from tests.harness.sql import run_sql
from tests.harness.waiting import WORK_SECONDS, until
from wiring.application import open_application


@override_settings(**MAIL, REGISTRATION__VERIFICATION="required")
def test_a_server_deletes_expired_rows_and_void_registrations(
    dsn: str, settings: Settings, clock: Clock
) -> None:
    run_sql(
        dsn,
        "INSERT INTO tokens (id, created_at, expires_at)"
        " VALUES (gen_random_uuid(), %(at)s, %(at)s);"
        " INSERT INTO users (email, email_key, password_hash, verify_until)"
        " VALUES ('late@example.com', 'late@example.com', 'x', %(at)s)",
        {"at": "2020-01-01Z"},
    )
    left = "SELECT (SELECT count(*) FROM tokens), (SELECT count(*) FROM users)"

    async def run() -> None:
        async with open_application(settings, [KEY], dsn, clock):
            await until(lambda: run_sql(dsn, left) == [(0, 0)])

    asyncio.run(run())


def test_a_server_notices_that_it_is_too_old_and_its_tasks_end_silently(
    postgres: str,
    settings: Settings,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("services.peers.LOOK_SECONDS", 0.01)
    # A task of a service raises DatabaseUnavailable, which does not say for how long.
    monkeypatch.setattr("services.registration._VOID_IDLE_SECONDS", 0.01)

    async def run(dsn: str) -> None:
        async with (
            asyncio.timeout(WORK_SECONDS),
            open_application(settings, [KEY], dsn, clock) as application,
        ):
            await application.services.readiness.check_ready()
            newer = "SET version = version + 1, compatible_since = version + 1"
            run_sql(dsn, f"UPDATE userauth_schema {newer}")
            with suppress(DatabaseUnavailable):
                while True:
                    await application.services.readiness.check_ready()
            await asyncio.sleep(0.1)  # ten looks

    with new_database(postgres, "outdated") as dsn:
        apply(dsn)
        asyncio.run(run(dsn))
    [error] = [each for each in caplog.records if each.levelname != "INFO"]
    assert error.getMessage().endswith("start a newer server: requests get 503 until a restart")


def test_a_stop_waits_briefly_for_the_last_writes(
    dsn: str,
    settings: Settings,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("wiring.tasks.LAST_WRITE_SECONDS", 0.1)

    async def run() -> None:
        async with open_application(settings, [KEY], dsn, clock) as application:
            application.services.usage.note("00000000-0000-0000-0000-000000000000", "192.0.2.1")
            connection.execute("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")

    with plain_connection(dsn) as connection, connection.transaction():
        asyncio.run(run())
    reason = "the last token uses were not written: Postgres did not answer within 0.1 s"
    assert caplog.messages.count(reason) == 1
    caplog.clear()


@pytest.mark.parametrize("verification", ["optional", "required"])
def test_a_task_that_fails_logs_the_reason_and_no_advice_for_callers(
    dsn: str, clock: Clock, caplog: pytest.LogCaptureFixture, verification: str
) -> None:
    settings = settings_with(
        **MAIL, DATABASE__QUERY_TIMEOUT_SECONDS=0.2, REGISTRATION__VERIFICATION=verification
    )
    failed = "deleting void registrations failed: "

    async def run() -> None:
        async with open_application(settings, [KEY], dsn, clock):
            await until(lambda: failed in caplog.text)

    with plain_connection(dsn) as connection, connection.transaction():
        connection.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        asyncio.run(run())
    assert "Try again" not in caplog.text


@pytest.mark.parametrize(
    ("work", "failure"),
    [
        ("services.housekeeping.Housekeeping.remove", DatabaseError("the reason")),
        ("services.hash_kinds.HashKinds.measure", Overloaded(3)),
        ("services.hash_kinds.HashKinds.measure", KeyError("id")),
        ("mail.backlog.Backlog.measure", DatabaseError("the reason")),
        ("mail.backlog.Backlog.measure", KeyError("id")),
    ],
)
def test_a_task_that_fails_logs_a_traceback_only_of_a_defect(
    dsn: str, clock: Clock, caplog: pytest.LogCaptureFixture, work: str, failure: Exception
) -> None:
    has_failed = asyncio.Event()

    async def fail(_: object) -> float:
        has_failed.set()
        raise failure

    async def run() -> None:
        settings = settings_with(**MAIL, METRICS__PORT=9464)
        async with open_application(settings, [KEY], dsn, clock):
            await until(has_failed.is_set)

    with patch(work, fail):
        asyncio.run(run())
    [record] = [each for each in caplog.records if "failed" in each.getMessage()]
    is_defect = isinstance(failure, KeyError)
    assert (record.exc_info is not None) == is_defect
    assert (str(failure) in record.getMessage()) != is_defect
    caplog.clear()
