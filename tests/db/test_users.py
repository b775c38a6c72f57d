"""Statements on the users table."""

import pytest

from db import users
from db.pool import Database
from tests.harness.databases import use
from tests.harness.sql import run_sql


@pytest.mark.parametrize(
    ("stored", "expected"), [("old", "renewed"), ("of a new password", "of a new password")]
)
def test_a_hash_is_renewed_only_where_it_is_still_the_stored_one(
    dsn: str, stored: str, expected: str
) -> None:
    [(user_id,)] = run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash) VALUES ('a', 'a', %s) RETURNING id",
        (stored,),
    )

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await users.renew_hash(connection, user_id, old="old", new="renewed")

    use(dsn, work)
    assert run_sql(dsn, "SELECT password_hash FROM users") == [(expected,)]
