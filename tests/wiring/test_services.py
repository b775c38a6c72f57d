"""The services that administrative commands open."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from rules.origin import LocalOrigin
from services.all_services import AdministrationServices
from settings import Settings
from tests.harness.clock import Clock
from tests.harness.sql import run_sql
from wiring.database import open_database
from wiring.services import open_administration


def administer(
    settings: Settings, dsn: str, work: Callable[[AdministrationServices], Awaitable[None]]
) -> None:
    async def run() -> None:
        async with (
            open_database(settings, dsn) as database,
            open_administration(settings, database, Clock(), LocalOrigin()) as services,
        ):
            await work(services)

    asyncio.run(run())


def test_commands_start_no_threads_and_no_connections_beside_the_pool(
    dsn: str, settings: Settings
) -> None:
    async def work(services: AdministrationServices) -> None:
        await services.users.find_page(after="", limit=1)
        connections = run_sql(
            dsn,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'userauth' AND pid <> pg_backend_pid()",
        )
        assert connections == [(1,)]
        names = {thread.name for thread in threading.enumerate()}
        assert not any(name.startswith("hashing") for name in names)
        assert len(asyncio.all_tasks()) == 1

    administer(settings, dsn, work)
