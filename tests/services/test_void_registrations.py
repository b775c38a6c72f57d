"""Users who have not verified their address in time are deleted."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from handlers.application import Application
from services import registration as service
from tests.harness.api import Api
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.mail import MAIL
from tests.harness.sql import run_sql

pytestmark = override_settings(
    **MAIL, REGISTRATION__VERIFICATION="required", REGISTRATION__QUARANTINE_DAYS=7
)
WEEK = timedelta(days=7).total_seconds()


def emails(dsn: str) -> list[str]:
    return [email for (email,) in run_sql(dsn, "SELECT email FROM users ORDER BY email")]


@pytest.mark.gen_test
async def test_users_who_have_not_verified_their_address_in_time_are_deleted_without_a_reservation(
    api: Api, app: Application, dsn: str, clock: Clock
) -> None:
    for email in ("late@example.com", "verified@example.com", "old@example.com"):
        await api.register(email)
    run_sql(dsn, "UPDATE users SET email_verified_at = now() WHERE email = 'verified@example.com'")
    run_sql(dsn, "UPDATE users SET verify_until = NULL WHERE email = 'old@example.com'")
    clock.advance(WEEK - 1)
    await app.services.registration.remove_void()
    assert len(emails(dsn)) == 3
    clock.advance(2)
    assert await app.services.registration.remove_void() > 1
    assert emails(dsn) == ["old@example.com", "verified@example.com"]
    assert run_sql(dsn, "SELECT * FROM reserved_emails") == []
    assert run_sql(dsn, "SELECT recipient FROM messages WHERE recipient LIKE 'late%'") == []
    assert run_sql(dsn, "SELECT actor, ip FROM events WHERE kind = 'deleted'") == [(None, None)]
    assert (await api.register("late@example.com")).status == 202
    assert "late@example.com" in emails(dsn)


@pytest.mark.gen_test
async def test_many_are_deleted_a_few_at_a_time_and_one_that_is_locked_is_left(
    app: Application, dsn: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_VOID_AT_ONCE", 3)
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash, verify_until)"
        " SELECT n || '@example.com', n || '@example.com', 'x', %s FROM generate_series(1, 5) AS n",
        (datetime.fromtimestamp(clock() + 1, UTC),),
    )
    # After the first turn of the server's own task, which has found none.
    await app.services.registration.remove_void()
    clock.advance(1)
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM users WHERE email LIKE '1%' FOR UPDATE")
        assert await app.services.registration.remove_void() < 1
        assert await app.services.registration.remove_void() > 1
        assert emails(dsn) == ["1@example.com"]
