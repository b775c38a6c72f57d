"""A pooler that leads to two primaries at once, of which one was replaced."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from db.errors import DatabaseError
from db.lookups import open_lookups
from db.pool import Database
from settings.choices import Pooler
from tests.harness.memory_directory import new_directory
from tests.harness.pgbouncer import running_pgbouncer, set_role
from tests.harness.pool_limits import LIMITS
from tests.harness.replication import Replicated, made_cluster, replicated
from tests.harness.sql import run_sql
from tests.harness.switch import Switch

# A connect, and the promotion during a transaction, may take long on a busy machine.
PATIENT = replace(
    LIMITS, pooler=Pooler.TRANSACTION, acquire_timeout_seconds=4, query_timeout_seconds=30
)


@pytest.mark.needs("pgbouncer")
def test_a_lookup_through_a_pooler_never_counts_on_a_primary_that_was_replaced(
    open_folder: Path,
) -> None:
    with new_directory() as folder, replicated(made_cluster(Path(folder)), open_folder) as pair:
        run_sql(
            pair.primary.url,
            "INSERT INTO users (email, email_key, password_hash) VALUES ('a', 'a', 'x')",
        )
        set_role(pair.primary.url, "userauth")
        run_sql(
            pair.primary.url,
            "ALTER ROLE userauth IN DATABASE userauth"
            " SET idle_in_transaction_session_timeout = '30s'",
        )
        pair.standby.wait_for(
            "EXISTS (SELECT FROM pg_db_role_setting WHERE setconfig::text LIKE '%30s%')"
        )
        asyncio.run(fail_over(pair))


async def fail_over(pair: Replicated) -> None:
    switch = Switch(pair.primary.url)
    await switch.open()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(switch.close)
        url = stack.enter_context(running_pgbouncer(switch.url))
        database = await Database.open(f"{url}transaction", PATIENT)
        stack.push_async_callback(database.close)
        lookups = open_lookups(database)
        stack.push_async_callback(lookups.close)
        assert await lookups.users_by_email.find("a") is not None
        # The transaction has the session of the primary, which is replaced meanwhile.
        async with database.transaction(60):
            await asyncio.to_thread(pair.standby.set, "synchronous_standby_names", "")
            await asyncio.to_thread(pair.standby.promote)
            run_sql(pair.standby.url, "DELETE FROM users")
            switch.lead_to(pair.standby.url)
            assert await lookups.users_by_email.find("a") is None
        for _ in range(3):
            with pytest.raises(DatabaseError, match=r"standby|replaced"):
                assert await lookups.users_by_email.find("a") is None
