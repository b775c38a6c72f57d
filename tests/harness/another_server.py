"""A second server in the same loop: other settings or keys, the same database."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from settings import Settings
from tests.harness.api import Api
from transport.server import Server
from wiring.application import open_application


@asynccontextmanager
async def another_server(
    settings: Settings, keys: Sequence[str], dsn: str, clock: Callable[[], float]
) -> AsyncIterator[Api]:
    """Serve for the length of the block."""
    async with open_application(settings, keys, dsn, clock) as application:
        server = Server(application, settings.limits)
        api = Api(f"http://127.0.0.1:{await server.listen('127.0.0.1', 0)}")
        try:
            yield api
        finally:
            api.close()
            await server.drain(drain_delay_seconds=0, drain_seconds=5)
