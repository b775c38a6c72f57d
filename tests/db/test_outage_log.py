"""The log of why no connection can be used."""

import asyncio
from contextlib import suppress

import pytest

from db.connection import close_once
from db.connector import Connector
from db.errors import ReadOnly, TooManyWaiting
from db.outage_log import OutageLog
from tests.harness.clock import Clock
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


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> OutageLog:
    caplog.set_level("INFO")
    log = OutageLog(clock)
    log.is_on = True
    return log


def outline(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the first words of each line."""
    return [message.split()[0].rstrip(":") for message in caplog.messages]


def test_each_beginning_and_each_end_of_an_outage_is_logged(
    log: OutageLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("first", "second"):
        log.log(ReadOnly(name))
        clock.advance(1)
        log.log(ReadOnly(name))
        log.record_answer()
        log.record_answer()
    assert outline(caplog) == ["first", "Postgres", "second", "Postgres"]


def test_an_outage_is_logged_again_after_ten_seconds(
    log: OutageLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(21):
        log.log(ReadOnly(f"{second}"))
        clock.advance(1)
    assert outline(caplog) == ["0", "10", "20"]


def test_outages_that_begin_within_a_second_are_logged_once(
    log: OutageLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """As if a host name led to the primary and to a standby in turn."""
    for number in range(21):
        log.log(ReadOnly(f"{number}"))
        log.record_answer()
        clock.advance(0.125)
    assert outline(caplog) == ["0", "Postgres", "8", "Postgres", "16", "Postgres"]


def test_the_end_of_an_outage_that_was_not_logged_is_not_logged(
    log: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.is_on = False
    log.log(ReadOnly("a check reports it"))
    log.record_answer()
    log.record_connection()
    assert outline(caplog) == []


def test_an_outage_of_new_connections_ends_with_the_next_one(
    log: OutageLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Meanwhile, lookups on the open connections are answered."""
    for second in range(11):
        log.log(TooManyWaiting(f"{second}"))
        log.record_answer()
        clock.advance(1)
    log.record_connection()
    log.record_connection()
    effect = "requests that need a new connection get 503 until a standby acknowledges"
    assert caplog.messages == [
        f"0: {effect}",
        f"10: {effect}",
        "Postgres can be used again: requests are served",
    ]


def test_a_new_connection_does_not_end_other_outages(
    log: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.log(ReadOnly("first"))
    log.record_connection()
    assert outline(caplog) == ["first"]
