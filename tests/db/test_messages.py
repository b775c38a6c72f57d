"""The messages table as a queue and as counts: leases, and limits under concurrency."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from db import message_limits, messages
from db.message_rows import ClaimedMessage, NewMessage
from db.pool import Connection, Database
from tests.harness.databases import use
from tests.harness.mail_queue import insert_messages, numbered
from tests.harness.row_locks import holding
from tests.harness.sql import run_sql

NOW = datetime(2026, 11, 1, tzinfo=UTC)
LEASE = timedelta(seconds=120)
ROW = "SELECT * FROM messages"
USER = "00000000-0000-4000-8000-000000000000"
End = Callable[[Connection, ClaimedMessage], Awaitable[None]]
Count = Callable[[Connection], Awaitable[object]]


@pytest.mark.parametrize(
    "end",
    [
        partial(messages.mark_sent, at=NOW + LEASE),
        partial(messages.defer, until=NOW + 2 * LEASE, failure="slow", is_counted=True),
        partial(messages.give_up, at=NOW + LEASE, failure="slow"),
        messages.skip,
    ],
    ids=["mark_sent", "defer", "give_up", "skip"],
)
def test_a_message_is_not_changed_by_a_process_whose_lease_has_ended(dsn: str, end: End) -> None:
    insert_messages(dsn, NOW.timestamp(), *numbered(1))

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            late, current = [
                await messages.claim_next(connection, now=now, lease_until=now + LEASE)
                for now in (NOW, NOW + LEASE)
            ]
            assert late is not None
            assert current is not None
            before = run_sql(dsn, ROW)
            await end(connection, late)
            assert run_sql(dsn, ROW) == before
            await end(connection, current)
            assert run_sql(dsn, ROW) != before

    use(dsn, work)


async def insert(connection: Connection) -> None:
    """Insert a message to the same address as another one."""
    message = NewMessage(
        id=str(uuid.uuid4()),
        nonce=str(uuid.uuid4()),
        kind="address-taken",
        user_id=None,
        recipient="susan@example.com",
        email_digest="digest",
        key_id=None,
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        is_urgent=False,
        is_bound=False,
    )
    await messages.insert_message(connection, message, language="en", max_per_hour=1)


def wait_of(network: str, user: str | None) -> Count:
    """Return a request for the wait of a network and a user."""
    return partial(
        message_limits.find_wait,
        network_digest=network,
        requester_id=user,
        network_limit=1,
        user_limit=1,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (insert, insert),
        (wait_of("network", None), wait_of("network", None)),
        (wait_of("network", USER), wait_of("another", USER)),
    ],
    ids=["recipient", "network", "user"],
)
def test_what_counts_toward_the_same_limit_waits_until_the_other_is_committed(
    dsn: str, first: Count, second: Count
) -> None:
    async def work(database: Database) -> None:
        async def count() -> None:
            async with database.transaction() as connection:
                await second(connection)

        with holding(dsn, "SELECT") as observer:
            async with database.transaction() as connection:
                await first(connection)
                waiting = asyncio.create_task(count())
                await observer.sees_waiting(waiting)
            await waiting

    use(dsn, work)
    assert run_sql(dsn, "SELECT count(recipient) FROM messages") == [(int(first is insert),)]
