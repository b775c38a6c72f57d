"""What a command opens in addition to its own work."""

import asyncio
import threading

from rules.origin import LocalOrigin
from settings import Settings
from tests.harness.clock import Clock
from tests.harness.sql import run_sql
from wiring.administration import open_administration
from wiring.database import open_database

OTHERS = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE application_name = 'userauth' AND pid <> pg_backend_pid()"
)


def test_a_command_starts_no_threads_no_tasks_and_no_connections_beside_the_pool(
    dsn: str, settings: Settings
) -> None:
    async def run() -> None:
        async with (
            open_database(settings, dsn) as database,
            open_administration(settings, database, Clock(), LocalOrigin()) as services,
        ):
            await services.users.find_page(after="", limit=1)
            names = {thread.name for thread in threading.enumerate()}
            assert not any(name.startswith("hashing") for name in names)
            assert len(asyncio.all_tasks()) == 1
            assert len(set(run_sql(dsn, OTHERS)) - before) == 1

    # Sessions of other tests may still be about to end.
    before = set(run_sql(dsn, OTHERS))
    asyncio.run(run())
