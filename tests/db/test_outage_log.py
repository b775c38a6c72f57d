"""The log of why no connection can be used."""

import asyncio
from contextlib import suppress

import pytest

from db.connection import close_once
from db.connector import Connector
from db.errors import ReadOnly
from tests.harness.pool_limits import LIMITS


def test_an_attempt_that_began_before_a_primary_was_found_is_no_outage(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        connector = Connector(dsn, LIMITS)
        close_once(await connector.connect())
        with suppress(ReadOnly), connector.reacting():
            raise ReadOnly("a check, which no request waits for, reports it")
        connector.log_outages()
        with suppress(ReadOnly), connector.reacting():
            # As another attempt that finds the new primary.
            connector.connections.end_all()
            raise ReadOnly("Postgres is a standby")
        assert caplog.messages == []
        with suppress(ReadOnly), connector.reacting():
            raise ReadOnly("Postgres is a standby")

    asyncio.run(run())
    [message] = caplog.messages
    assert message.endswith("requests get 503 until a primary accepts writes")
