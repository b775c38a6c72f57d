"""The services of commands."""

from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from tornado.ioloop import IOLoop

from rules.origin import LocalOrigin
from services.administration import Administration
from settings import Settings
from tests.harness.clock import Clock
from wiring.administration import open_administration
from wiring.database import open_database


@pytest.fixture
def users(io_loop: IOLoop, settings: Settings, dsn: str, clock: Clock) -> Iterator[Administration]:
    """Build the services of commands on the database of the application."""
    stack = AsyncExitStack()

    async def enter() -> Administration:
        database = await stack.enter_async_context(open_database(settings, dsn))
        services = await stack.enter_async_context(
            open_administration(settings, database, clock, LocalOrigin())
        )
        return services.users

    yield io_loop.run_sync(enter)
    io_loop.run_sync(stack.aclose)
