"""The joined look-up of tokens."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from db.errors import Unavailable
from db.pool import Connection, Database
from db.token_lookup import TokenLookup
from tests.db.test_pool import LIMITS, use
from tests.sql import run_sql


@pytest.fixture
def tokens(dsn: str) -> list[str]:
    """Insert users with a token each; return the tokens' ids."""
    ids = [str(uuid.uuid4()) for _ in range(40)]
    for token_id in ids:
        run_sql(
            dsn,
            "INSERT INTO users (id, email, email_key, password_hash) VALUES (%s, %s, %s, 'x')",
            (token_id, token_id, token_id),
        )
        run_sql(
            dsn,
            "INSERT INTO tokens (id, user_id, created_at, expires_at)"
            " VALUES (%s, %s, now(), now())",
            (token_id, token_id),
        )
    return ids


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record how many ids each look-up statement asks for."""
    sizes: list[int] = []
    fetch_all = Connection.fetch_all

    async def recorded(self: Connection, sql: str, parameters: Any = ()) -> Any:
        if "ANY" in sql:
            sizes.append(len(parameters[0]))
        return await fetch_all(self, sql, parameters)

    monkeypatch.setattr(Connection, "fetch_all", recorded)
    return sizes


def look_up(dsn: str, work: Callable[[Database, TokenLookup], Awaitable[None]]) -> None:
    async def run(database: Database) -> None:
        lookup = TokenLookup(database)
        try:
            await work(database, lookup)
        finally:
            await lookup.close()

    use(dsn, run, LIMITS)


def test_everybody_gets_their_own_answer(dsn: str, tokens: list[str]) -> None:
    async def work(_: Database, lookup: TokenLookup) -> None:
        unknown = [str(uuid.uuid4()) for _ in tokens]
        found = await asyncio.gather(*map(lookup.find_user, tokens + unknown))
        assert [user.id if user else None for user in found] == tokens + [None] * len(unknown)

    look_up(dsn, work)


def test_those_who_ask_in_the_same_turn_share_one_statement(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(_: Database, lookup: TokenLookup) -> None:
        await asyncio.gather(*map(lookup.find_user, tokens))

    look_up(dsn, work)
    assert statements == [40]


def test_an_answer_is_never_used_for_a_later_request(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(database: Database, lookup: TokenLookup) -> None:
        assert await lookup.find_user(tokens[0]) is not None
        async with database.connection() as connection:
            await connection.execute("UPDATE tokens SET revoked_at = now()")
        assert await lookup.find_user(tokens[0]) is None

    look_up(dsn, work)
    assert statements == [1, 1]


def test_whoever_asks_while_a_statement_is_under_way_waits_for_the_next(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(_: Database, lookup: TokenLookup) -> None:
        first = asyncio.create_task(lookup.find_user(tokens[0]))
        while not statements:
            await asyncio.sleep(0)
        # The same token: its answer is on its way, and must not serve this one.
        second = [asyncio.create_task(lookup.find_user(token)) for token in tokens[:10]]
        await asyncio.gather(first, *second)

    look_up(dsn, work)
    assert statements == [1, 10]


def test_a_client_that_goes_away_harms_nobody(dsn: str, tokens: list[str]) -> None:
    async def work(_: Database, lookup: TokenLookup) -> None:
        waiting = [asyncio.create_task(lookup.find_user(tokens[0])) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting[:5]:
            task.cancel()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[:5])
        assert all(not isinstance(answer, BaseException) for answer in answers[5:])

    look_up(dsn, work)


def test_a_connection_that_was_ended_is_replaced_unseen(dsn: str, tokens: list[str]) -> None:
    async def work(database: Database, lookup: TokenLookup) -> None:
        assert await lookup.find_user(tokens[0]) is not None
        async with database.connection() as connection:
            await connection.fetch_all(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'userauth' AND pid <> pg_backend_pid()"
            )
        assert await lookup.find_user(tokens[0]) is not None

    look_up(dsn, work)


def test_a_table_that_is_locked_is_unavailable_in_time_and_heals(
    dsn: str, tokens: list[str]
) -> None:
    async def work(database: Database, lookup: TokenLookup) -> None:
        async with database.transaction() as connection:
            await connection.execute("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")
            answers = await asyncio.gather(
                *map(lookup.find_user, tokens[:5]), return_exceptions=True
            )
            assert all(isinstance(answer, Unavailable) for answer in answers)
        await asyncio.sleep(1.1)
        assert await lookup.find_user(tokens[0]) is not None

    look_up(dsn, work)
