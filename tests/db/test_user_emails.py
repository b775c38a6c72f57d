"""Statements on email addresses of users."""

from datetime import UTC, datetime

import pytest

from db import user_emails
from db.connection import Connection
from db.pool import Database
from db.rows import UserRow
from tests.harness.databases import use
from tests.harness.sql import run_sql

AT = datetime(2027, 1, 15, tzinfo=UTC)
_INSERT = """
INSERT INTO users (email, email_key, password_hash) VALUES (%s, %s, '') RETURNING id::text
"""


def insert(dsn: str, email: str) -> str:
    return str(run_sql(dsn, _INSERT, (email, email))[0][0])


def update(dsn: str, user_id: str, email: str) -> UserRow | None:
    """Set an address, in a transaction that is committed."""
    found: list[UserRow | None] = []

    async def work(database: Database) -> None:
        async with database.transaction() as connection:
            found.append(await change(connection, user_id, email))

    use(dsn, work)
    return found[0]


async def change(connection: Connection, user_id: str, email: str) -> UserRow | None:
    return await user_emails.update_email(
        connection, user_id, email=email, email_key=email.lower(), at=AT
    )


def test_a_free_address_is_set_and_no_other_row_remains(dsn: str) -> None:
    user_id = insert(dsn, "a@example.com")
    run_sql(dsn, "UPDATE users SET verify_until = now()")
    user = update(dsn, user_id, "B@example.com")
    assert user is not None
    assert (user.id, user.email, user.is_email_verified) == (user_id, "B@example.com", True)
    columns = "SELECT email_key, email_verified_at, verify_until FROM users"
    assert run_sql(dsn, columns) == [("b@example.com", AT, None)]


def test_a_taken_address_is_not_set(dsn: str) -> None:
    user_id = insert(dsn, "a@example.com")
    insert(dsn, "b@example.com")
    assert update(dsn, user_id, "B@example.com") is None
    emails = "SELECT email FROM users ORDER BY email"
    assert run_sql(dsn, emails) == [("a@example.com",), ("b@example.com",)]


def test_the_users_own_address_in_another_case_is_set(dsn: str) -> None:
    user_id = insert(dsn, "a@example.com")
    user = update(dsn, user_id, "A@example.com")
    assert user is not None
    assert run_sql(dsn, "SELECT email, email_key FROM users") == [
        ("A@example.com", "a@example.com")
    ]


@pytest.mark.parametrize("is_verified", [True, False])
def test_a_verification_keeps_the_time_of_the_first_one(dsn: str, *, is_verified: bool) -> None:
    user_id = insert(dsn, "a@example.com")
    first = datetime(2026, 1, 1, tzinfo=UTC)
    if is_verified:
        run_sql(dsn, "UPDATE users SET email_verified_at = %s", (first,))
    before = run_sql(dsn, "SELECT updated_at FROM users")

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            user = await user_emails.verify_email(connection, user_id, at=AT)
            assert user.is_email_verified

    use(dsn, work)
    assert run_sql(dsn, "SELECT email_verified_at FROM users") == [(first if is_verified else AT,)]
    assert (run_sql(dsn, "SELECT updated_at FROM users") == before) is is_verified


def test_a_user_who_does_not_exist_cannot_be_verified(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            with pytest.raises(LookupError, match="does not exist"):
                await user_emails.verify_email(
                    connection, "00000000-0000-0000-0000-000000000000", at=AT
                )

    use(dsn, work)
