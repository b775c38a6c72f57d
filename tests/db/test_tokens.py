"""Lookups of the users and the owners of tokens."""

import uuid

import pytest

from db.batch_loader import BatchLoader, LookupQuery
from db.pool import Database
from db.token_lookups import FIND_OWNERS, FIND_USERS
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
