"""A pooler that leads to two primaries at once, of which one was replaced."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from db.errors import DatabaseError, Unavailable
from db.lookups import open_lookups
from db.pool import Database
from settings.choices import Pooler
from tests.harness.databases import use
from tests.harness.pgbouncer import running_pgbouncer, set_role
from tests.harness.pool_limits import LIMITS
from tests.harness.replication import Replicated, replicated
from tests.harness.sql import run_sql
from tests.harness.switch import Switch

# A test waits for the first limit; the promotion during a transaction may take long.
LONG_QUERIES = replace(
    LIMITS, pooler=Pooler.TRANSACTION, acquire_timeout_seconds=4, query_timeout_seconds=30
)


@pytest.fixture
def pair(stopped_cluster: Path, open_folder: Path) -> Iterator[Replicated]:
    """Run a primary with a user, and its synchronous standby."""
    with replicated(stopped_cluster, open_folder) as nodes:
        url = nodes.primary.url
        set_role(url, "userauth")
        timeout = "idle_in_transaction_session_timeout = '30s'"
        run_sql(url, f"ALTER ROLE userauth IN DATABASE userauth SET {timeout}")
        run_sql(url, "INSERT INTO users (email, email_key, password_hash) VALUES ('a', 'a', 'x')")
        nodes.standby.wait_for("EXISTS (SELECT FROM users)")
        yield nodes


@pytest.mark.needs("pgbouncer")
def test_a_lookup_through_a_pooler_waits_for_the_standby_that_has_to_acknowledge_it(
    pair: Replicated,
) -> None:
    async def work(database: Database) -> None:
        lookups = open_lookups(database, acknowledged=True)
        for _ in range(2):
            assert await lookups.users_by_email.find("a") is not None
        # Another client changes the only session.
        run_sql(url, "SET synchronous_commit = off")
        pair.standby.freeze()
        try:
            with pytest.raises(Unavailable):
                await lookups.users_by_email.find("a")
        finally:
            pair.standby.thaw()
            await lookups.close()

    with running_pgbouncer(pair.primary.url, pool_size=1) as pgbouncer:
        url = f"{pgbouncer}transaction"
        use(url, work, LONG_QUERIES)


@pytest.mark.needs("pgbouncer")
def test_a_lookup_through_a_pooler_never_counts_on_a_primary_that_was_replaced(
    pair: Replicated,
) -> None:
    asyncio.run(fail_over(pair))


async def fail_over(pair: Replicated) -> None:
    switch = Switch(pair.primary.url)
    await switch.open()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(switch.close)
        url = stack.enter_context(running_pgbouncer(switch.url))
        database = await Database.open(f"{url}transaction", LONG_QUERIES)
        stack.push_async_callback(database.close)
        lookups = open_lookups(database)
        stack.push_async_callback(lookups.close)
        assert await lookups.users_by_email.find("a") is not None
        other = await Database.open(f"{url}transaction", LONG_QUERIES)
        stack.push_async_callback(other.close)
        # The transaction has the session of the primary, which is replaced meanwhile.
        async with other.transaction(60):
            await asyncio.to_thread(pair.standby.set, "synchronous_standby_names", "")
            await asyncio.to_thread(pair.standby.promote)
            run_sql(pair.standby.url, "DELETE FROM users")
            switch.lead_to(pair.standby.url)
            assert await lookups.users_by_email.find("a") is None
        for _ in range(3):
            with pytest.raises(DatabaseError, match=r"standby|replaced"):
                assert await lookups.users_by_email.find("a") is None
