"""Users who have not verified their address in time are found one at a time."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2

from db import registrations
from db.pool import Database
from tests.harness.databases import use
from tests.harness.sql import run_sql

NOW = datetime(2027, 1, 15, tzinfo=UTC)


def test_the_oldest_are_found_first_and_those_that_are_locked_are_left(dsn: str) -> None:
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash, verify_until)"
        " SELECT n, n, 'x', %s::timestamptz - n * interval '1 minute'"
        " FROM generate_series(0, 4) AS n",
        (NOW,),
    )
    run_sql(dsn, "UPDATE users SET email_verified_at = now() WHERE email = '3'")

    async def find(database: Database, at: datetime = NOW) -> str | None:
        async with database.transaction() as connection:
            found = await registrations.find_next_void_for_update(connection, at=at)
        return None if found is None else found.email

    async def work(database: Database) -> None:
        assert await find(database, NOW - timedelta(minutes=4, seconds=1)) is None
        assert await find(database) == "4"
        with closing(psycopg2.connect(dsn)) as other, other.cursor() as cursor:
            cursor.execute("SELECT id FROM users WHERE email = '4' FOR UPDATE")
            assert await find(database) == "2"
            cursor.execute("SELECT id FROM users WHERE email_verified_at IS NULL FOR UPDATE")
            assert await find(database) is None

    use(dsn, work)
