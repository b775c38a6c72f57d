"""Users who have not verified their address in time are deleted."""

from datetime import UTC, datetime, timedelta

import pytest

from handlers.application import Application
from tests.harness.api import Api
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.mail import MAIL
from tests.harness.sql import run_sql

REQUIRED = override_settings(
    **MAIL, REGISTRATION__VERIFICATION="required", REGISTRATION__QUARANTINE_DAYS=7
)
WEEK = timedelta(days=7).total_seconds()


def emails(dsn: str) -> list[str]:
    return [email for (email,) in run_sql(dsn, "SELECT email FROM users ORDER BY email")]


@REQUIRED
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


@override_settings(**MAIL, REGISTRATION__VERIFICATION="optional")
@pytest.mark.gen_test
async def test_users_are_kept_if_the_verification_is_no_longer_required(
    api: Api, app: Application, dsn: str, clock: Clock
) -> None:
    """They log in without it, also if it is required again later."""
    for email in ("late@example.com", "new@example.com"):
        await api.register(email)
        until = datetime.fromtimestamp(clock(), UTC) + timedelta(seconds=WEEK)
        run_sql(dsn, "UPDATE users SET verify_until = %s WHERE email = %s", (until, email))
        clock.advance(10)
    clock.advance(WEEK - 20)
    answer = await api.register("late@example.com")
    assert (answer.status, answer.problem) == (409, "email-taken")
    assert await app.services.registration.remove_void() > 1
    query = "SELECT email FROM users WHERE verify_until IS NULL"
    assert run_sql(dsn, query) == [("late@example.com",)]
    assert emails(dsn) == ["late@example.com", "new@example.com"]
