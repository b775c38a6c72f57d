"""The joined look-up."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest

from db.batch_loader import BatchLoader
from db.errors import Unavailable
from db.pool import Database
from db.prepared import PreparedQuery, Received
from db.rows import UserRow
from db.tokens import FIND_USERS
from tests.harness.databases import use
from tests.harness.pool_limits import LIMITS
from tests.harness.sql import run_sql


@pytest.fixture
def tokens(dsn: str) -> list[str]:
    """Insert users with a token each; return the tokens' ids."""
    ids = [str(uuid.uuid4()) for _ in range(40)]
    run_sql(
        dsn,
        "WITH made AS (INSERT INTO users (id, email, email_key, password_hash)"
        " SELECT id, id::text, id::text, 'x' FROM unnest(%s::uuid[]) AS id RETURNING id)"
        " INSERT INTO tokens (id, user_id, created_at, expires_at)"
        " SELECT id, id, now(), now() FROM made",
        (ids,),
    )
    return ids


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record how many ids each look-up statement asks for."""
    sizes: list[int] = []
    send = PreparedQuery.send

    def recorded(self: PreparedQuery, keys: list[str], received: Received) -> None:
        sizes.append(len(keys))
        send(self, keys, received)

    monkeypatch.setattr(PreparedQuery, "send", recorded)
    return sizes


def look_up(dsn: str, work: Callable[[Database, BatchLoader[UserRow]], Awaitable[None]]) -> None:
    async def run(database: Database) -> None:
        lookup = BatchLoader(database, FIND_USERS)
        try:
            await work(database, lookup)
        finally:
            await lookup.close()

    use(dsn, run, LIMITS)


def test_everybody_gets_their_own_answer(dsn: str, tokens: list[str]) -> None:
    async def work(_: Database, lookup: BatchLoader[UserRow]) -> None:
        unknown = [str(uuid.uuid4()) for _ in tokens]
        found = await asyncio.gather(*map(lookup.find, tokens + unknown))
        assert [owner.id if owner else None for owner in found] == tokens + [None] * len(unknown)

    look_up(dsn, work)


def test_those_who_ask_in_the_same_turn_share_one_statement(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(_: Database, lookup: BatchLoader[UserRow]) -> None:
        await asyncio.gather(*map(lookup.find, tokens))

    look_up(dsn, work)
    assert statements == [40]


def test_an_answer_is_never_used_for_a_later_request(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(database: Database, lookup: BatchLoader[UserRow]) -> None:
        assert await lookup.find(tokens[0]) is not None
        async with database.connection() as connection:
            await connection.execute("UPDATE tokens SET revoked_at = now()")
        assert await lookup.find(tokens[0]) is None

    look_up(dsn, work)
    assert statements == [1, 1]


def test_whoever_asks_while_a_statement_is_under_way_waits_for_the_next(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(_: Database, lookup: BatchLoader[UserRow]) -> None:
        first = asyncio.ensure_future(lookup.find(tokens[0]))
        while not statements:
            await asyncio.sleep(0)
        # The same token: its answer is on its way, and must not serve this one.
        second = [asyncio.ensure_future(lookup.find(token)) for token in tokens[:10]]
        await asyncio.gather(first, *second)

    look_up(dsn, work)
    assert statements == [1, 10]


def test_a_client_that_goes_away_harms_nobody(dsn: str, tokens: list[str]) -> None:
    async def work(_: Database, lookup: BatchLoader[UserRow]) -> None:
        waiting = [asyncio.ensure_future(lookup.find(tokens[0])) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting[:5]:
            task.cancel()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[:5])
        assert all(not isinstance(answer, BaseException) for answer in answers[5:])

    look_up(dsn, work)


def test_a_look_up_that_is_closed_tells_those_who_wait_and_connects_no_more(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(database: Database, lookup: BatchLoader[UserRow]) -> None:
        await lookup.find(tokens[0])
        async with database.connection() as connection:
            await connection.execute("BEGIN; LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")
            waiting = [asyncio.ensure_future(lookup.find(tokens[0]))]
            while len(statements) < 2:
                await asyncio.sleep(0)
            waiting += [asyncio.ensure_future(lookup.find(token)) for token in tokens]
            await lookup.close()
            async with asyncio.timeout(1):
                answers = await asyncio.gather(*waiting, return_exceptions=True)
            await connection.execute("ROLLBACK")
        assert all(isinstance(answer, Unavailable) for answer in answers)
        with pytest.raises(Unavailable):
            await lookup.find(tokens[0])

    look_up(dsn, work)
    assert len(statements) == 2


def test_a_connection_that_was_ended_is_replaced_unseen(dsn: str, tokens: list[str]) -> None:
    async def work(database: Database, lookup: BatchLoader[UserRow]) -> None:
        assert await lookup.find(tokens[0]) is not None
        async with database.connection() as connection:
            await connection.fetch_all(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'userauth' AND pid <> pg_backend_pid()"
            )
        assert await lookup.find(tokens[0]) is not None

    look_up(dsn, work)


def test_a_table_that_is_locked_is_unavailable_in_time_and_heals(
    dsn: str, tokens: list[str]
) -> None:
    async def work(database: Database, lookup: BatchLoader[UserRow]) -> None:
        async with database.transaction() as connection:
            await connection.execute("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")
            answers = await asyncio.gather(*map(lookup.find, tokens[:5]), return_exceptions=True)
            assert all(isinstance(answer, Unavailable) for answer in answers)
        await asyncio.sleep(1.1)
        assert await lookup.find(tokens[0]) is not None

    look_up(dsn, work)
