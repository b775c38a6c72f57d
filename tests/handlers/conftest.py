"""Invariants of every request in these tests, and the port of the metrics."""

from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from tornado.ioloop import IOLoop

from handlers.application import Application
from tests.harness.invariants import _no_failure_is_logged, _no_request_is_still_counted
from tests.harness.scraping import listening

__all__ = ["_no_failure_is_logged", "_no_request_is_still_counted"]


@pytest.fixture
def port(io_loop: IOLoop, app: Application) -> Iterator[int]:
    """Serve the metrics of the application."""
    stack = AsyncExitStack()

    async def listen() -> int:
        return await stack.enter_async_context(listening(app))

    yield io_loop.run_sync(listen)
    io_loop.run_sync(stack.aclose)
