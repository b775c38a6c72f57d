"""Messages that the server gave up on, sent again alone or together."""

import asyncio
from datetime import UTC, datetime

import pytest

from db import message_queue
from db.pool import Database
from tests.harness.databases import use
from tests.harness.mail_queue import insert_messages, numbered
from tests.harness.pool_limits import LIMITS
from tests.harness.row_locks import holding
from tests.harness.sql import run_sql

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LOCK = "SELECT FROM messages WHERE id = %s FOR UPDATE NOWAIT"


@pytest.mark.gen_test
async def test_messages_are_locked_in_the_order_of_their_ids(dsn: str) -> None:
    """As a wrong code does, which locks all messages to an address."""
    for message_id in ("f", "0"):
        [inserted] = insert_messages(dsn, NOW.timestamp(), *numbered(1))
        run_sql(
            dsn,
            "UPDATE messages SET id = %s, failed_at = now(), failure = 'x' WHERE id = %s",
            (message_id * 32, inserted),
        )
    database = await Database.open(dsn, LIMITS)
    try:
        with holding(dsn, LOCK, ("0" * 32,)) as holder:
            async with database.connection() as connection:
                task = asyncio.create_task(message_queue.retry(connection, None, now=NOW))
                await holder.sees_waiting(task)
                holder.run(LOCK, ("f" * 32,))
                holder.commit()
                assert await task == 2
    finally:
        await database.close()


def retried(dsn: str, message_id: str | None) -> int:
    """Return how many messages are sent again: one, or all that the server gave up on."""
    found: list[int] = []

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            found.append(await message_queue.retry(connection, message_id, now=NOW))

    use(dsn, work)
    return found[0]


@pytest.mark.parametrize(
    "change",
    [
        "recipient = NULL",
        "failure = NULL",
        "sent_at = created_at",
        "used_at = created_at",
        "voided_at = created_at",
        "expires_at = '2026-11-01Z'",
    ],
)
def test_a_message_that_is_void_sent_or_being_sent_is_not_sent_again(dsn: str, change: str) -> None:
    [message_id] = insert_messages(dsn, NOW.timestamp(), *numbered(1))
    failed = "UPDATE messages SET due_at = NULL, failed_at = created_at, failure = 'x'"
    for each in (message_id, None):
        run_sql(dsn, failed)
        assert retried(dsn, each) == 1
    run_sql(dsn, failed)
    run_sql(dsn, f"UPDATE messages SET {change}")  # noqa: S608
    assert [retried(dsn, each) for each in (message_id, None)] == [0, 0]
