"""Messages that were given up, sent again together."""

import asyncio
from datetime import UTC, datetime

import pytest

from db import message_queue
from db.pool import Database
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
