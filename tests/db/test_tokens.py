"""Lookups of the users and the owners of tokens, and the keys that valid ones need."""

import uuid
from datetime import UTC, datetime

import pytest

from db.batch_loader import BatchLoader, LookupQuery
from db.pool import Database
from db.token_lookups import FIND_OWNERS, FIND_USERS
from db.tokens import find_keys_in_use
from tests.harness.databases import use
from tests.harness.sql import run_sql

QUERIES = [pytest.param(query, id=query.name) for query in (FIND_USERS, FIND_OWNERS)]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(
    ("change", "is_found"),
    [
        ("UPDATE users SET name = 'Susan'", True),
        ("UPDATE users SET disabled_at = now()", False),
        ("UPDATE tokens SET revoked_at = now()", False),
        ("DELETE FROM users", False),
    ],
)
def test_only_unrevoked_tokens_of_enabled_users_are_found(
    dsn: str, query: LookupQuery[object], change: str, *, is_found: bool
) -> None:
    token_id = str(uuid.uuid4())
    run_sql(
        dsn,
        "WITH u AS (INSERT INTO users (email, email_key, password_hash)"
        " VALUES ('a', 'a', 'x') RETURNING id)"
        " INSERT INTO tokens (id, user_id, created_at, expires_at)"
        " SELECT %s, id, now(), now() FROM u",
        (token_id,),
    )
    run_sql(dsn, change)

    async def work(database: Database) -> None:
        loader = BatchLoader(database, query)
        assert (await loader.find(token_id) is not None) is is_found
        await loader.close()

    use(dsn, work)


@pytest.mark.parametrize(
    ("used", "idle", "is_in_use"),
    [
        ("12:00", "8 hours", True),
        ("04:01", "8 hours", True),
        ("04:00", "8 hours", False),
        (None, "8 hours", False),
        (None, None, True),
    ],
)
def test_the_key_of_a_session_is_in_use_until_its_expiry_while_it_is_used(
    dsn: str, used: str | None, idle: str | None, *, is_in_use: bool
) -> None:
    run_sql(
        dsn,
        "WITH u AS (INSERT INTO users (email, email_key, password_hash)"
        " VALUES ('a', 'a', 'x') RETURNING id)"
        " INSERT INTO tokens (id, user_id, created_at, expires_at, key_id, kind, last_used_at,"
        " max_idle) SELECT %s, id, '2027-01-15Z', '2027-01-16Z', 'key', 'session',"
        " %s::timestamptz, %s FROM u",
        (str(uuid.uuid4()), used and f"2027-01-15 {used}Z", idle),
    )

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            found = await find_keys_in_use(connection, at=datetime(2027, 1, 15, 12, tzinfo=UTC))
        assert found == ({"key": datetime(2027, 1, 16, tzinfo=UTC)} if is_in_use else {})

    use(dsn, work)
