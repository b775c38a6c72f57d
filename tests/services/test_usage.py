"""The last use of tokens: recorded in memory, and written in batches apart from requests."""

import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest

from db import tokens
from db.errors import Unavailable
from db.pool import Connection, Database
from db.rows import Use
from services.usage import TokenUsage
from tests.harness.clock import Clock
from tests.harness.databases import use
from tests.harness.pool_limits import LIMITS
from tests.harness.sql import run_sql

MINUTE = 60


@pytest.fixture
def token(dsn: str) -> str:
    """Insert a user with a token; return the token's id."""
    return insert_tokens(dsn, 1)[0]


def insert_tokens(dsn: str, number: int) -> list[str]:
    ids = [str(uuid.uuid4()) for _ in range(number)]
    run_sql(
        dsn,
        "WITH made AS (INSERT INTO users (email, email_key, password_hash)"
        " VALUES ('a', 'a', 'x') RETURNING id)"
        " INSERT INTO tokens (id, user_id, created_at, expires_at)"
        " SELECT token, made.id, now(), now() FROM made, unnest(%s::uuid[]) AS token",
        (ids,),
    )
    return ids


def uses(dsn: str) -> list[tuple[float | None, str | None]]:
    return run_sql(
        dsn, "SELECT extract(epoch FROM last_used_at)::float, host(ip) FROM tokens ORDER BY id"
    )


def test_the_last_use_is_written_to_the_minute(dsn: str, token: str, clock: Clock) -> None:
    async def work(database: Database) -> None:
        usage = TokenUsage(database, clock)
        usage.note(token, "192.0.2.1")
        clock.advance(59)
        usage.note(token, "2001:db8::1")
        await usage.write()

    start = clock.now - clock.now % MINUTE
    use(dsn, work)
    assert uses(dsn) == [(start, "2001:db8::1")]


def test_a_use_without_an_address_keeps_the_known_address(
    dsn: str, token: str, clock: Clock
) -> None:
    async def work(database: Database) -> None:
        usage = TokenUsage(database, clock)
        usage.note(token, "192.0.2.1")
        usage.note(token, None)
        clock.advance(MINUTE)
        usage.note(token, None)
        await usage.write()
        clock.advance(MINUTE)
        usage.note(token, None)
        await usage.write()

    start = clock.now - clock.now % MINUTE
    use(dsn, work)
    assert uses(dsn) == [(start + 2 * MINUTE, "192.0.2.1")]


def test_a_use_is_written_once_a_minute_however_often_a_token_is_used(
    dsn: str, token: str, clock: Clock
) -> None:
    rows: set[str] = set()

    async def work(database: Database) -> None:
        usage = TokenUsage(database, clock)
        for _ in range(3):
            usage.note(token, "192.0.2.1")
            await usage.write()
            async with database.connection() as connection:
                row = await connection.fetch_one("SELECT xmin::text FROM tokens")
            assert row is not None
            rows.add(row[0])

    use(dsn, work)
    assert len(rows) == 1


def test_thousands_of_uses_are_written_in_batches(dsn: str, clock: Clock) -> None:
    ids = insert_tokens(dsn, 2500)

    async def work(database: Database) -> None:
        usage = TokenUsage(database, clock)
        for number, token in enumerate(ids):
            usage.note(token, None if number % 2 else "192.0.2.1")
        await usage.write()

    use(dsn, work)
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE last_used_at IS NULL") == [(0,)]
    assert run_sql(dsn, "SELECT count(*) FROM tokens WHERE ip IS NULL") == [(1250,)]


def test_uses_that_could_not_be_written_are_kept(dsn: str, token: str, clock: Clock) -> None:
    async def work(database: Database) -> None:
        usage = TokenUsage(database, clock)
        usage.note(token, "192.0.2.1")
        async with database.connection(), database.connection():
            database.limits = replace(LIMITS, acquire_timeout_seconds=0.05)
            with pytest.raises(Unavailable):
                await usage.write()
        await usage.write()

    assert LIMITS.pool_max == 2
    use(dsn, work)
    assert uses(dsn)[0][1] == "192.0.2.1"


def test_a_use_without_an_address_during_a_failed_write_keeps_the_known_address(
    dsn: str, token: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(database: Database) -> None:
        usage = TokenUsage(database, clock)

        async def fail(_connection: Connection, _uses: Sequence[Use]) -> None:
            clock.advance(MINUTE)
            usage.note(token, None)
            raise Unavailable

        usage.note(token, "192.0.2.1")
        with monkeypatch.context() as patch, pytest.raises(Unavailable):
            patch.setattr(tokens, "write_uses", fail)
            await usage.write()
        await usage.write()

    use(dsn, work)
    assert uses(dsn) == [(clock.now - clock.now % MINUTE, "192.0.2.1")]


def test_uses_recorded_during_a_write_are_kept_for_the_next(
    dsn: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = insert_tokens(dsn, 2)
    write = tokens.write_uses

    async def work(database: Database) -> None:
        usage = TokenUsage(database, clock)

        async def meanwhile(connection: Connection, uses: Sequence[Use]) -> None:
            await write(connection, uses)
            clock.advance(MINUTE)
            usage.note(first, "192.0.2.2")
            usage.note(second, "192.0.2.2")

        usage.note(first, "192.0.2.1")
        with monkeypatch.context() as patch:
            patch.setattr(tokens, "write_uses", meanwhile)
            await usage.write()
        assert {address for _, address in uses(dsn)} == {"192.0.2.1", None}
        await usage.write()

    use(dsn, work)
    assert uses(dsn) == [(clock.now - clock.now % MINUTE, "192.0.2.2")] * 2


def test_a_use_of_a_token_that_was_revoked_meanwhile_is_not_written(
    dsn: str, token: str, clock: Clock
) -> None:
    """Its user may be deleted: the row then contains nothing personal any more."""

    async def work(database: Database) -> None:
        usage = TokenUsage(database, clock)
        usage.note(token, "192.0.2.1")
        run_sql(dsn, "UPDATE tokens SET revoked_at = now()")
        await usage.write()

    use(dsn, work)
    assert uses(dsn) == [(None, None)]


def test_a_locked_row_is_skipped(dsn: str, clock: Clock) -> None:
    held, free = sorted(insert_tokens(dsn, 2))

    async def work(database: Database) -> None:
        usage = TokenUsage(database, clock)
        usage.note(held, "192.0.2.1")
        usage.note(free, "192.0.2.1")
        async with database.transaction() as connection:
            await connection.execute("UPDATE tokens SET revoked_at = now() WHERE id = %s", (held,))
            await usage.write()

    use(dsn, work)
    assert [address for _, address in uses(dsn)] == [None, "192.0.2.1"]
