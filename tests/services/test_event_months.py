"""Months of the audit trail are partitions: created in advance, and dropped as a whole."""

import asyncio
import itertools
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from db import event_partitions
from db.event_partitions import Month
from db.events import EventFilter, find_events
from db.expired_tokens import housekeeping_turn
from db.pool import Database
from services import event_months, housekeeping
from services.housekeeping import Housekeeping, RetentionPolicy
from settings.choices import Pooler
from tests.harness.clock import Clock
from tests.harness.databases import apply, new_database, use
from tests.harness.pgbouncer import pooled_database
from tests.harness.pool_limits import LIMITS
from tests.harness.row_locks import holding
from tests.harness.sql import run_sql

TRANSACTION = replace(LIMITS, pooler=Pooler.TRANSACTION)
KEEP = RetentionPolicy(expired_days=7, event_days=90, count_seconds=4500)
# A limit for what must happen, on any machine.
SECONDS = 20
_numbers = itertools.count()


@pytest.fixture
def own(postgres: str) -> Iterator[str]:
    """Create a database of its own, since its partitions remain."""
    with new_database(postgres, f"months{next(_numbers)}") as dsn:
        apply(dsn)
        for name in partitions(dsn):
            run_sql(dsn, f"DROP TABLE {name}")
        yield dsn


@pytest.fixture
def clock() -> Clock:
    """Return a clock in the middle of November 2026."""
    return Clock(datetime(2026, 11, 15, 12, tzinfo=UTC).timestamp())


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "_PAUSE", 0)


def partitions(dsn: str) -> list[str]:
    """Return the names of the partitions except the default one."""
    rows = run_sql(
        dsn,
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'events'::regclass AND inhrelid <> 'events_default'::regclass"
        " ORDER BY 1",
    )
    return [name for (name,) in rows]


def insert(dsn: str, *times: str) -> None:
    """Insert an event for each time, whose kind is that time."""
    for at in times:
        run_sql(
            dsn,
            "INSERT INTO events (at, kind, outcome, ip, actor, times)"
            " VALUES (%s::timestamptz, %s, 'success', '192.0.2.1', 'a\"ж', 3)",
            (at, at),
        )


def places(dsn: str) -> dict[str, str]:
    """Return the partition of each event by its kind."""
    return dict(run_sql(dsn, "SELECT kind, tableoid::regclass::text FROM events"))


async def remove(database: Database, clock: Clock) -> None:
    await Housekeeping(database, clock=clock, keep=KEEP).remove()


def test_this_month_and_the_next_two_have_a_partition(own: str, clock: Clock) -> None:
    use(own, lambda database: remove(database, clock))
    expected = ["events_2026_11", "events_2026_12", "events_2027_01"]
    assert partitions(own) == expected
    times = (
        "2026-10-31T23:59:59.999999Z",
        "2026-11-01T00:00Z",
        "2026-12-01T01:00+02",
        "2026-12-01Z",
        "2027-01-31Z",
        "2027-02-01Z",
    )
    insert(own, *times)
    first, second, third = expected
    names = ("events_default", first, first, second, third, "events_default")
    assert places(own) == dict(zip(times, names, strict=True))
    use(own, lambda database: remove(database, clock))
    assert partitions(own) == expected


def test_partitions_are_found_whatever_a_backslash_means_in_the_database(
    own: str, clock: Clock
) -> None:
    name = run_sql(own, "SELECT current_database()::text")[0][0]
    run_sql(own, f"ALTER DATABASE {name} SET standard_conforming_strings = off")
    for _ in range(2):
        use(own, lambda database: remove(database, clock))
    assert partitions(own) == ["events_2026_11", "events_2026_12", "events_2027_01"]


def test_a_new_database_has_a_partition_for_this_month_before_a_server_starts(
    postgres: str,
) -> None:
    with new_database(postgres, "months_new") as dsn:
        apply(dsn)
        insert(dsn, "now")
        assert set(places(dsn).values()) == {Month.of(datetime.now(UTC)).table}


def test_an_event_without_a_partition_is_found_and_moved_to_one_unchanged(
    own: str, clock: Clock
) -> None:
    insert(own, "2026-11-02T03:04:05.678901Z", "2026-12-31Z", "2031-01-01Z", "2026-11-03Z")
    assert set(places(own).values()) == {"events_default"}

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            before = await find_events(connection, EventFilter(), limit=10)
        assert before[0].kind == "2026-11-03Z"
        assert len(before) == 4
        await remove(database, clock)
        async with database.connection() as connection:
            assert await find_events(connection, EventFilter(), limit=10) == before

    use(own, work)
    assert places(own) == {
        "2026-11-02T03:04:05.678901Z": "events_2026_11",
        "2026-11-03Z": "events_2026_11",
        "2026-12-31Z": "events_2026_12",
        "2031-01-01Z": "events_default",
    }


def test_a_month_with_too_many_events_to_move_is_passed_over_and_reported_once(
    own: str, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_partitions, "_MAX_MOVED", 2)
    insert(own, "2026-11-01Z", "2026-11-02Z", "2026-11-03Z", "2026-12-01Z")

    async def work(database: Database) -> None:
        house = Housekeeping(database, clock=clock, keep=KEEP)
        with caplog.at_level(logging.WARNING):
            await house.remove()
            await house.remove()

    use(own, work)
    assert partitions(own) == ["events_2026_12", "events_2027_01"]
    [record] = caplog.records
    assert "events_2026_11" in record.getMessage()
    assert set(places(own)) == {"2026-11-01Z", "2026-11-02Z", "2026-11-03Z", "2026-12-01Z"}


def test_a_month_is_dropped_when_its_last_moment_is_older_than_the_retention(
    own: str, clock: Clock
) -> None:
    use(own, lambda database: remove(database, clock))
    insert(own, "2026-10-31Z", "2026-11-01Z", "2026-11-30T23:59Z", "2026-12-01Z")
    end = datetime(2026, 12, 1, tzinfo=UTC) + timedelta(days=KEEP.event_days)
    clock.now = (end - timedelta(seconds=1)).timestamp()
    use(own, lambda database: remove(database, clock))
    # The first event, of the default partition, is deleted at the end of its month as well.
    assert set(places(own)) == {"2026-11-01Z", "2026-11-30T23:59Z", "2026-12-01Z"}
    clock.now = end.timestamp()
    use(own, lambda database: remove(database, clock))
    assert set(places(own)) == {"2026-12-01Z"}
    assert partitions(own)[0] == "events_2026_12"


def test_years_pass_without_an_event_that_is_kept_too_short_or_too_long(
    own: str, clock: Clock
) -> None:
    kept, bound = timedelta(days=KEEP.event_days), timedelta(days=KEEP.event_days + 31)
    written: set[str] = set()

    async def work(database: Database) -> None:
        house = Housekeeping(database, clock=clock, keep=KEEP)
        for _ in range(50):
            await house.remove()
            now = datetime.fromtimestamp(clock(), UTC)
            insert(own, now.isoformat())
            written.add(now.isoformat())
            found = places(own)
            assert found[now.isoformat()] == Month.of(now).table
            assert all(now - datetime.fromisoformat(kind) < bound for kind in found)
            assert all(now - datetime.fromisoformat(kind) > kept for kind in written - {*found})
            assert len(partitions(own)) <= 7
            clock.advance(23 * 86_400 + 3601)
        assert len(written) > len(places(own)) > 3
        assert "events_default" not in places(own).values()

    use(own, work)


def test_a_clock_that_was_years_ahead_leaves_nothing_that_fails(own: str, clock: Clock) -> None:
    insert(own, "2028-03-01Z")
    use(own, lambda database: remove(database, clock))
    clock.now = datetime(2028, 3, 15, tzinfo=UTC).timestamp()
    use(own, lambda database: remove(database, clock))
    assert places(own) == {"2028-03-01Z": "events_2028_03"}
    clock.now = datetime(2026, 11, 16, tzinfo=UTC).timestamp()
    use(own, lambda database: remove(database, clock))
    assert partitions(own) == [
        *("events_2026_11", "events_2026_12", "events_2027_01"),
        *("events_2028_03", "events_2028_04", "events_2028_05"),
    ]


def test_two_servers_create_and_drop_partitions_at_the_same_time(own: str, clock: Clock) -> None:
    async def work(database: Database) -> None:
        for month in range(6):
            clock.now = datetime(2027, 1 + month, 20, tzinfo=UTC).timestamp()
            # One after the other that has the turn.
            await asyncio.gather(*(remove(database, clock) for _ in range(4)))
            await remove(database, clock)
            assert partitions(own)[-3:] == [
                f"events_2027_{number:02}" for number in range(1 + month, 4 + month)
            ]

    use(own, work)
    assert partitions(own)[0] == "events_2027_03"


def test_a_long_reader_delays_partitions_and_no_writer(
    own: str, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_months, "_REPORTED_LOCK_FAILURES", 2)
    use(own, lambda database: remove(database, clock))
    insert(own, "2026-11-01Z")
    clock.advance(200 * 86_400)
    before = partitions(own)

    async def work(database: Database) -> None:
        house = Housekeeping(database, clock=clock, keep=KEEP)
        with holding(own, "SELECT count(*) FROM events"):
            async with asyncio.timeout(SECONDS):
                run = asyncio.create_task(house.remove())
                while not run.done():
                    await asyncio.to_thread(write, own)
                await run
            assert partitions(own) == before
            assert "2026-11-01Z" in places(own)
            assert caplog.records == []
            await house.remove()
        assert any("events_2026_11" in record.getMessage() for record in caplog.records)
        await house.remove()

    use(own, work)
    assert partitions(own) == ["events_2027_06", "events_2027_07", "events_2027_08"]


def test_the_turn_of_another_server_does_not_count_as_a_success(
    own: str, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_months, "_REPORTED_LOCK_FAILURES", 2)
    monkeypatch.setattr(event_partitions, "_MAX_MOVED", 0)
    use(own, lambda database: remove(database, clock))
    clock.advance(200 * 86_400)
    insert(own, datetime.fromtimestamp(clock.now, UTC).isoformat())

    async def work(database: Database) -> None:
        house = Housekeeping(database, clock=clock, keep=KEEP)
        with holding(own, "SELECT count(*) FROM events_2026_11"):
            await house.remove()
            async with database.connection() as other, housekeeping_turn(other) as is_theirs:
                assert is_theirs
                await house.remove()
            await house.remove()

    use(own, work)
    reports = [record.getMessage() for record in caplog.records]
    assert [report.count("events_2027_06") for report in reports] == [1, 0]
    assert [report.count("events_2026_11") for report in reports] == [0, 1]


def test_a_failure_is_reported_at_once_after_one_of_a_lock(
    own: str, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(own, "2026-11-01Z")

    async def work(database: Database) -> None:
        house = Housekeeping(database, clock=clock, keep=KEEP)
        with holding(own, "SELECT count(*) FROM events"):
            await house.remove()
        assert caplog.records == []
        monkeypatch.setattr(event_partitions, "_MAX_MOVED", 0)
        await house.remove()

    use(own, work)
    [record] = caplog.records
    assert "events_2026_11" in record.getMessage()


def write(dsn: str) -> None:
    """Insert an event, as a server that waits for a lock for two seconds at most."""
    with closing(psycopg2.connect(dsn, options="-c lock_timeout=2s")) as connection:
        connection.cursor().execute(
            "INSERT INTO events (at, kind, outcome) VALUES (now(), 'written', 'success')"
        )
        connection.commit()


def test_an_event_that_is_inserted_while_its_month_is_created_is_kept(own: str) -> None:
    month = Month.of(datetime(2026, 11, 15, tzinfo=UTC))

    async def insert_meanwhile(database: Database) -> None:
        async with database.transaction() as connection:
            await event_partitions.create_partition(connection, month)
            inserted = asyncio.create_task(asyncio.to_thread(insert, own, "2026-11-20Z"))
            with holding(own, "SELECT") as other:
                await other.sees_waiting(inserted, statement="INSERT INTO events")
        await asyncio.wait_for(inserted, SECONDS)

    use(own, insert_meanwhile)
    assert places(own) == {"2026-11-20Z": month.table}


@pytest.mark.needs("pgbouncer")
def test_partitions_are_created_and_dropped_through_a_pooler_in_transaction_mode(
    postgres: str, clock: Clock
) -> None:
    with pooled_database(postgres, "months_pooled", pool_size=1) as pooled:
        for _ in range(2):
            use(pooled.url, lambda database: remove(database, clock), TRANSACTION)
            clock.advance(200 * 86_400)
        found = [name for name in partitions(pooled.direct) if name.startswith("events_2027")]
        assert found == ["events_2027_06", "events_2027_07", "events_2027_08"]
        assert pooled.leftovers() == []
