"""Batched lookups."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from db.batch import BATCH_SIZE, Batch
from db.batch_loader import BatchLoader, LookupQuery
from db.errors import DatabaseError, ReadOnly, StatementError, Unavailable
from db.pool import Database
from db.prepared import PreparedQuery, Received
from db.rows import Row, UserRow
from db.token_lookups import FIND_USERS
from postgres.plain_connection import plain_connection
from tests.harness.databases import use
from tests.harness.pool_limits import LIMITS
from tests.harness.sql import run_sql


@pytest.fixture
def tokens(dsn: str) -> list[str]:
    """Insert 40 users with one token each; return the ids of the tokens."""
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
    """Record the number of keys of each statement."""
    # A busy machine may stop the process for longer than a batch accepts keys.
    monkeypatch.setattr("db.batch.BATCH_SECONDS", 60.0)
    sizes: list[int] = []
    send = PreparedQuery.send

    def recorded(self: PreparedQuery, keys: list[str], received: Received) -> None:
        sizes.append(len(keys))
        send(self, keys, received)

    monkeypatch.setattr(PreparedQuery, "send", recorded)
    return sizes


def with_loader(
    dsn: str,
    work: Callable[[Database, BatchLoader[UserRow]], Awaitable[None]],
) -> None:
    async def run(database: Database) -> None:
        loader = BatchLoader(database, FIND_USERS)
        try:
            await work(database, loader)
        finally:
            await loader.close()

    use(dsn, run)


def test_each_lookup_gets_the_row_of_its_key(dsn: str, tokens: list[str]) -> None:
    async def work(_: Database, loader: BatchLoader[UserRow]) -> None:
        unknown = [str(uuid.uuid4()) for _ in tokens]
        found = await asyncio.gather(*map(loader.find, tokens + unknown))
        assert [owner.id if owner else None for owner in found] == tokens + [None] * len(unknown)

    with_loader(dsn, work)


def test_lookups_in_the_same_turn_of_the_loop_share_one_statement(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(_: Database, loader: BatchLoader[UserRow]) -> None:
        await asyncio.gather(*map(loader.find, tokens))

    with_loader(dsn, work)
    assert statements == [40]


def test_a_result_never_serves_a_later_request(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(database: Database, loader: BatchLoader[UserRow]) -> None:
        assert await loader.find(tokens[0]) is not None
        async with database.connection() as connection:
            await connection.execute("UPDATE tokens SET revoked_at = now()")
        assert await loader.find(tokens[0]) is None

    with_loader(dsn, work)
    assert statements == [1, 1]


def test_lookups_during_a_statement_wait_for_the_next_one(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(_: Database, loader: BatchLoader[UserRow]) -> None:
        first = asyncio.ensure_future(loader.find(tokens[0]))
        while not statements:
            await asyncio.sleep(0)
        # Of the same token, too: the pending result must not serve a later request.
        second = [asyncio.ensure_future(loader.find(token)) for token in tokens[:10]]
        await asyncio.gather(first, *second)

    with_loader(dsn, work)
    assert statements == [1, 10]


def test_cancelled_lookups_do_not_affect_the_others(dsn: str, tokens: list[str]) -> None:
    async def work(_: Database, loader: BatchLoader[UserRow]) -> None:
        waiting = [asyncio.ensure_future(loader.find(tokens[0])) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting[:5]:
            task.cancel()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[:5])
        assert all(not isinstance(answer, BaseException) for answer in answers[5:])

    with_loader(dsn, work)


def test_closing_fails_pending_lookups_and_does_not_reconnect(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(database: Database, loader: BatchLoader[UserRow]) -> None:
        await loader.find(tokens[0])
        async with database.connection() as connection:
            await connection.execute("BEGIN; LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")
            waiting = [asyncio.ensure_future(loader.find(tokens[0]))]
            while len(statements) < 2:
                await asyncio.sleep(0)
            waiting += [asyncio.ensure_future(loader.find(token)) for token in tokens]
            await loader.close()
            async with asyncio.timeout(20):
                answers = await asyncio.gather(*waiting, return_exceptions=True)
            await connection.execute("ROLLBACK")
        assert all(isinstance(answer, Unavailable) for answer in answers)
        # Raised when awaited, where services translate it.
        later = loader.find(tokens[0])
        with pytest.raises(Unavailable):
            await later

    with_loader(dsn, work)
    assert len(statements) == 2


def test_a_terminated_connection_is_replaced_without_a_failed_lookup(
    dsn: str, tokens: list[str]
) -> None:
    async def work(database: Database, loader: BatchLoader[UserRow]) -> None:
        assert await loader.find(tokens[0]) is not None
        async with database.connection() as connection:
            await connection.fetch_all(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'userauth' AND pid <> pg_backend_pid()"
            )
        assert await loader.find(tokens[0]) is not None

    with_loader(dsn, work)


def test_lookups_in_a_locked_table_time_out_and_succeed_after_its_release(
    dsn: str, tokens: list[str]
) -> None:
    async def work(database: Database, loader: BatchLoader[UserRow]) -> None:
        assert await loader.find(tokens[0]) is not None
        async with database.transaction() as connection:
            await connection.execute("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")
            database.limits = replace(LIMITS, acquire_timeout_seconds=0.05)
            answers = await asyncio.gather(*map(loader.find, tokens[:5]), return_exceptions=True)
            assert all(isinstance(answer, Unavailable) for answer in answers)
        database.limits = LIMITS
        assert await loader.find(tokens[0]) is not None

    with_loader(dsn, work)


def test_closing_a_broken_connection_again_leaves_that_with_its_descriptor_alone(
    dsn: str, tokens: list[str]
) -> None:
    async def result_of(query: PreparedQuery) -> DatabaseError | None:
        received: asyncio.Future[DatabaseError | None] = asyncio.get_running_loop().create_future()
        query.send(tokens[:1], lambda _, error: received.set_result(error))
        return await received

    async def run(database: Database) -> None:
        sql, key_type = FIND_USERS.sql, FIND_USERS.key_type
        broken = await database.prepare("broken", sql, key_type)
        run_sql(
            dsn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'userauth'",
        )
        async with asyncio.timeout(20):
            assert isinstance(await result_of(broken), Unavailable)
            # The lowest free descriptor is that of the broken connection.
            working = await database.prepare("working", sql, key_type)
            broken.close()
            assert await result_of(working) is None
        working.close()

    use(dsn, run)


def test_a_result_of_a_connection_that_was_discarded_meanwhile_does_not_count(
    dsn: str, tokens: list[str], statements: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    send = PreparedQuery.send

    async def work(database: Database, loader: BatchLoader[UserRow]) -> None:
        def send_and_discard(self: PreparedQuery, keys: list[str], received: Received) -> None:
            if statements:
                send(self, keys, received)
                return
            # Otherwise the result may be there before the connection is discarded.
            with plain_connection(dsn) as other, other.transaction():
                other.execute("LOCK TABLE tokens IN ACCESS EXCLUSIVE MODE")
                send(self, keys, received)
                database.react(ReadOnly("another primary was found"))

        monkeypatch.setattr(PreparedQuery, "send", send_and_discard)
        assert await loader.find(tokens[0]) is not None

    with_loader(dsn, work)
    assert statements == [1, 1]


def test_a_statement_that_fails_again_is_not_sent_a_third_time(
    dsn: str, statements: list[int]
) -> None:
    async def run(database: Database) -> None:
        # Found at the execution, since the key is not known before.
        sql = "SELECT key FROM unnest($1) AS key WHERE key::integer = 1"
        loader = BatchLoader(database, LookupQuery("failing", sql, "text", lambda row: row))
        with pytest.raises(StatementError):
            await loader.find("no number")
        assert loader.failures == 1
        await loader.close()

    use(dsn, run)
    assert statements == [1, 1]


def test_any_failure_to_prepare_is_raised_and_the_next_lookup_succeeds(
    dsn: str, tokens: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> PreparedQuery:
        raise RuntimeError("on purpose")

    async def work(_: Database, loader: BatchLoader[UserRow]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Database, "prepare", fail)
            async with asyncio.timeout(20):
                answers = await asyncio.gather(
                    *map(loader.find, tokens[:2]), return_exceptions=True
                )
        assert [str(answer) for answer in answers] == ["on purpose", "on purpose"]
        assert loader.failures == 1
        assert await loader.find(tokens[0]) is not None

    with_loader(dsn, work)


def test_a_row_that_cannot_be_built_fails_its_batch_and_no_later_one(
    dsn: str, tokens: list[str]
) -> None:
    failures = iter([ValueError("on purpose")])

    def make(row: Row) -> UserRow:
        for failure in failures:
            raise failure
        return UserRow(*row)

    async def run(database: Database) -> None:
        loader = BatchLoader(database, replace(FIND_USERS, make=make))
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*map(loader.find, tokens[:2]), return_exceptions=True)
            assert [str(answer) for answer in answers] == ["on purpose", "on purpose"]
            assert await loader.find(tokens[0]) is not None
        await loader.close()

    use(dsn, run)


def test_a_statement_has_at_most_500_keys(
    dsn: str, tokens: list[str], statements: list[int]
) -> None:
    async def work(_: Database, loader: BatchLoader[UserRow]) -> None:
        unknown = [str(uuid.uuid4()) for _ in range(BATCH_SIZE)]
        await asyncio.gather(*map(loader.find, [*unknown, unknown[0], tokens[0]]))

    with_loader(dsn, work)
    assert statements == [500, 2]


class HandMovedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock is set by hand."""

    now = 0.0

    def time(self) -> float:
        return self.now


def test_a_batch_accepts_keys_for_200_milliseconds() -> None:
    loop = HandMovedLoop()
    batch = Batch[UserRow](loop)
    states = []
    for loop.now in (0.0, 0.199, 0.2):
        states.append(batch.is_open)
    assert states == [True, True, False]
    loop.close()
