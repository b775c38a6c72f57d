"""The clock of Postgres."""

import logging
import re
import time

import pytest

from db.clock import PostgresClock, steady_seconds
from db.pool import Database
from tests.harness.clock import Clock
from tests.harness.databases import use
from tests.harness.sql import run_sql

AHEAD = 16 * 60.0


def now(dsn: str) -> float:
    return float(run_sql(dsn, "SELECT extract(epoch FROM clock_timestamp())")[0][0])


def test_hosts_with_different_clocks_share_the_time_of_postgres(dsn: str) -> None:
    async def work(database: Database) -> None:
        for off in (0.0, AHEAD, -AHEAD):
            clock = PostgresClock(database, wall=lambda off=off: time.time() + off)  # type: ignore[misc]
            before = now(dsn)
            await clock.measure()
            tolerance = 5.0  # a busy machine between two statements
            assert before - tolerance < clock() < now(dsn) + tolerance
            assert clock.offset == pytest.approx(off, abs=tolerance)

    use(dsn, work)


def test_setting_the_clock_of_the_host_does_not_change_the_time(dsn: str) -> None:
    async def work(database: Database) -> None:
        wall, steady = Clock(now(dsn)), Clock(1000.0)
        clock = PostgresClock(database, wall=wall, steady=steady)
        await clock.measure()
        before = clock()
        wall.advance(AHEAD)
        assert clock() == before
        steady.advance(10)
        assert clock() == before + 10

    use(dsn, work)


def test_the_time_does_not_change_within_the_uncertainty_of_a_measurement(dsn: str) -> None:
    readings = iter([0.0, 10.0, 14.0, 4.0, 14.0, 14.0])

    async def work(database: Database) -> None:
        clock = PostgresClock(database, steady=lambda: next(readings))
        await clock.measure()
        before = clock()
        await clock.measure()  # 4 s earlier by the second measurement, which is within 5 s
        assert clock() == before

    use(dsn, work)


def test_a_clock_offset_is_logged_once_until_it_is_corrected(
    dsn: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock of this test stands still between two queries.
    monkeypatch.setattr("db.clock.MAX_OFFSET_SECONDS", 60.0)

    async def work(database: Database) -> None:
        wall = Clock(now(dsn))
        clock = PostgresClock(database, wall=wall, steady=Clock(0.0))
        for ahead, logged in ((AHEAD, 1), (AHEAD, 1), (0, 1), (-AHEAD, 2)):
            wall.now = now(dsn) + ahead
            await clock.measure()
            assert caplog.text.count("the clock of this host differs") == logged
        assert re.search(r"\+9(?:[0-5]\d|60)\.", caplog.text)

    with caplog.at_level(logging.WARNING):
        use(dsn, work)


def test_the_steady_clock_never_goes_back() -> None:
    first = steady_seconds()
    assert 0 < first <= steady_seconds()
