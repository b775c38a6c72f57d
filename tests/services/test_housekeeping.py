"""Expired rows are deleted in small batches, by one process at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvloop

from db import expired_tokens
from db.pool import Connection, Database
from ops.event_loop import EventLoop
from services import housekeeping as service
from services.housekeeping import Housekeeping, RetentionPolicy
from tests.harness.clock import Clock
from tests.harness.databases import use
from tests.harness.mail_queue import insert_messages, numbered, states
from tests.harness.pool_limits import LIMITS
from tests.harness.sql import run_sql
from tests.harness.waiting import until

DAYS = 7
KEEP = RetentionPolicy(expired_days=DAYS, event_days=90, count_seconds=4500)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_BATCH", 10)


def insert_tokens(dsn: str, clock: Clock, *days_ago: float) -> None:
    """Insert tokens that expired so many days ago."""
    now = datetime.fromtimestamp(clock(), UTC)
    times = [now - timedelta(days=days) for days in days_ago]
    run_sql(
        dsn,
        "INSERT INTO tokens (id, created_at, expires_at)"
        " SELECT gen_random_uuid(), at - interval '1 day', at FROM unnest(%s) AS at",
        (times,),
    )


def test_expired_reservations_of_addresses_are_deleted(dsn: str, clock: Clock) -> None:
    run_sql(
        dsn,
        "INSERT INTO reserved_emails (email_digest, until)"
        " SELECT n::text, clock_timestamp() + (n - 25.5) * interval '1 hour'"
        " FROM generate_series(1, 30) AS n",
    )
    use(dsn, lambda database: remove(database, clock))
    left = run_sql(dsn, "SELECT email_digest::integer FROM reserved_emails ORDER BY 1")
    assert left == [(26,), (27,), (28,), (29,), (30,)]


async def remove(database: Database, clock: Clock) -> None:
    await Housekeeping(database, clock=clock, keep=KEEP).remove()


@asynccontextmanager
async def first_batch(
    database: Database, dsn: str, clock: Clock
) -> AsyncIterator[asyncio.Task[None]]:
    """Remove the first batch of 30 tokens; cancel the task after the block."""
    task = asyncio.create_task(remove(database, clock))
    await until(lambda: count(dsn) != 30)
    try:
        yield task
    finally:
        # Repeatedly: a task in asyncio.wait_for may swallow a cancellation.
        while not task.done():
            task.cancel()
            await asyncio.sleep(0.01)


def count(dsn: str) -> int:
    return int(run_sql(dsn, "SELECT count(*) FROM tokens")[0][0])


def test_rows_are_deleted_in_batches_after_their_retention_period(
    dsn: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_tokens(dsn, clock, *[DAYS + 0.1] * 25, DAYS - 0.1, -1)
    removed = []
    delete = expired_tokens.delete_expired

    async def counted(connection: Connection, **more: Any) -> tuple[int, datetime]:
        found = await delete(connection, **more)
        removed.append(found[0])
        return found

    monkeypatch.setattr(expired_tokens, "delete_expired", counted)

    async def work(database: Database) -> None:
        house = Housekeeping(database, clock=clock, keep=KEEP)
        assert await house.remove() >= 1

    use(dsn, work)
    assert removed == [10, 10, 5]
    assert count(dsn) == 2


def test_locked_rows_are_skipped(dsn: str, clock: Clock) -> None:
    insert_tokens(dsn, clock, *[DAYS + 1] * 5)

    async def work(database: Database) -> None:
        house = Housekeeping(database, clock=clock, keep=KEEP)
        async with database.transaction() as connection:
            await connection.execute(
                "UPDATE tokens SET revoked_at = now() WHERE id = (SELECT min(id::text)::uuid"
                " FROM tokens)"
            )
            await house.remove()
        assert count(dsn) == 1
        await house.remove()

    use(dsn, work)
    assert count(dsn) == 0


def test_only_one_process_deletes_at_a_time_and_the_next_continues(dsn: str, clock: Clock) -> None:
    insert_tokens(dsn, clock, *[DAYS + 1] * 20)

    async def work(database: Database) -> None:
        house = Housekeeping(database, clock=clock, keep=KEEP)
        async with (
            database.connection() as other,
            expired_tokens.housekeeping_turn(other) as is_ours,
        ):
            assert is_ours
            assert await house.remove() >= 1
            assert count(dsn) == 20
        await house.remove()

    use(dsn, work)
    assert count(dsn) == 0


def test_requests_are_served_during_housekeeping_with_a_pool_of_one(
    dsn: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_tokens(dsn, clock, *[DAYS + 1] * 30)
    monkeypatch.setattr(service, "_PAUSE", 100_000)

    async def work(database: Database) -> None:
        async with first_batch(database, dsn, clock):
            async with database.transaction() as connection:
                await connection.execute(
                    "INSERT INTO users (email, email_key, password_hash) VALUES ('a', 'a', 'x')"
                )
            assert count(dsn) == 20

    use(dsn, work, replace(LIMITS, pool_max=1))


def test_a_batch_that_takes_no_time_by_the_clock_of_the_loop_is_followed_by_a_pause(
    dsn: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_tokens(dsn, clock, *[DAYS + 1] * 30)
    monkeypatch.setattr(service, "_PAUSE", 100_000)
    monkeypatch.setattr(EventLoop, "time", _minutes, raising=False)

    async def work(database: Database) -> None:
        async with first_batch(database, dsn, clock):
            # More statements than two further batches have.
            for _ in range(50):
                async with database.transaction() as connection:
                    await connection.execute("SELECT 1")
            assert count(dsn) == 20

    use(dsn, work)


def _minutes(loop: EventLoop) -> float:
    """Return the time as a clock that counts minutes: that of uvloop counts milliseconds."""
    return uvloop.Loop.time(loop) // 60 * 60.0


def test_a_process_that_is_stopped_leaves_the_turn_to_others(
    dsn: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_tokens(dsn, clock, *[DAYS + 1] * 30)
    monkeypatch.setattr(service, "_PAUSE", 100_000)

    async def work(database: Database) -> None:
        async with first_batch(database, dsn, clock) as stopped:
            pass
        assert stopped.cancelled()
        monkeypatch.setattr(service, "_PAUSE", 0)
        while count(dsn):
            await remove(database, clock)

    use(dsn, work)


def test_messages_are_deleted_a_day_after_they_expire(dsn: str, clock: Clock) -> None:
    insert_messages(dsn, clock() - 90_000, *numbered(25), lifetime=3600 - 1)
    insert_messages(dsn, clock() - 90_000, "kept@example.com", lifetime=3600 + 1)
    use(dsn, lambda database: remove(database, clock))
    assert list(states(dsn)) == ["kept@example.com"]


def test_messages_about_deletions_are_deleted_when_they_expire(dsn: str, clock: Clock) -> None:
    for lifetime, name in ((3599, "expired"), (3601, "kept")):
        address = f"{name}@example.com"
        insert_messages(dsn, clock() - 3600, address, kind="user-deleted", lifetime=lifetime)
    use(dsn, lambda database: remove(database, clock))
    assert list(states(dsn)) == ["kept@example.com"]


def test_old_events_and_counts_are_deleted_and_consecutive_failures_are_kept(
    dsn: str, clock: Clock
) -> None:
    now = datetime.fromtimestamp(clock.now, UTC)
    # From 89 days ago, and from the last day of the month before that of 90 days ago.
    whole_month = (now - timedelta(days=90)).day
    for days in (89, 90 + whole_month):
        run_sql(
            dsn,
            "INSERT INTO events (at, kind, outcome) VALUES (%s, 'added', 'success')",
            (now - timedelta(days=days),),
        )
    # By the clock of Postgres, in full hours.
    for subject, hours in (
        *(("pair:new", 1), ("account:a", 3), ("account:b", 9000)),
        *((f"client-pair:old {number}", 3) for number in range(25)),
    ):
        run_sql(
            dsn,
            "INSERT INTO throttle (subject, failures, last_at)"
            " VALUES (%s, 3, now() - make_interval(hours => %s))",
            (subject, hours),
        )

    async def work(database: Database) -> None:
        await Housekeeping(database, clock=clock, keep=KEEP).remove()

    use(dsn, work)
    assert run_sql(dsn, "SELECT count(*) FROM events") == [(1,)]
    left = run_sql(dsn, "SELECT subject FROM throttle ORDER BY subject")
    assert left == [("account:a",), ("pair:new",)]
