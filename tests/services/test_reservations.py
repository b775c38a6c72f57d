"""Reservations of the addresses of a deleted user."""

import asyncio

import pytest

from db.pool import Database
from rules.digests import Digests
from services.reservations import Reservations
from tests.harness.mail_queue import numbered
from tests.harness.pool_limits import LIMITS
from tests.harness.row_locks import holding
from tests.harness.sql import run_sql

DIGESTS = 'SELECT email_digest FROM reserved_emails ORDER BY email_digest COLLATE "C"'
LOCK = "SELECT FROM reserved_emails WHERE email_digest = %s FOR UPDATE NOWAIT"


@pytest.mark.gen_test
async def test_addresses_are_reserved_in_the_order_of_their_digests(dsn: str) -> None:
    """Two deletions at once may reserve the same addresses, and must not wait for each other."""
    reservations = Reservations(Digests("key"), quarantine_days=7)
    database = await Database.open(dsn, LIMITS)

    async def reserve() -> None:
        async with database.transaction() as connection:
            await reservations.reserve(connection, numbered(10))

    try:
        await reserve()
        digests = run_sql(dsn, DIGESTS)
        for number, held in enumerate(digests, start=1):
            with holding(dsn, LOCK, held) as holder:
                task = asyncio.create_task(reserve())
                await holder.sees_waiting(task)
                for later in digests[number:]:
                    holder.run(LOCK, later)
                holder.commit()
            await task
    finally:
        await database.close()
