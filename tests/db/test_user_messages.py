"""What remains in the messages table."""

from datetime import UTC, datetime, timedelta

import pytest

from db import messages
from db.pool import Database
from tests.harness.mail_queue import insert_messages
from tests.harness.pool_limits import LIMITS
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"


@pytest.mark.parametrize(("kind", "left"), [("user-deleted", None), ("password-changed", EMAIL)])
@pytest.mark.gen_test
async def test_the_address_of_a_deleted_user_is_removed_once_the_message_is_sent(
    dsn: str, kind: str, left: str | None
) -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    insert_messages(dsn, now.timestamp(), EMAIL, kind=kind)
    database = await Database.open(dsn, LIMITS)
    try:
        async with database.connection() as connection:
            until = now + timedelta(seconds=60)
            [claimed] = await messages.claim(connection, now=now, lease_until=until, limit=1)
            assert claimed.recipient == EMAIL
            await messages.mark_sent(connection, claimed, at=now)
    finally:
        await database.close()
    assert run_sql(dsn, "SELECT recipient, sent_at FROM messages") == [(left, now)]
