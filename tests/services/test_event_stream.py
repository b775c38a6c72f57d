"""New events: each is returned once, whenever its transaction commits."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing

import psycopg2
import pytest

from db.pool import Database
from services.event_stream import PAGE, EventStream
from tests.harness.clock import Clock
from tests.harness.pool_limits import LIMITS
from tests.harness.sql import run_sql

INSERT = (
    "INSERT INTO events (at, kind, outcome, request_id)"
    " SELECT now(), 'logged-in', 'success', %s FROM generate_series(1, %s)"
)


def use(dsn: str, clock: Clock, work: Callable[[EventStream], Awaitable[None]]) -> None:
    async def run() -> None:
        database = await Database.open(dsn, LIMITS)
        try:
            stream = EventStream(database, clock)
            await stream.seek_end()
            await work(stream)
        finally:
            await database.close()

    asyncio.run(run())


def insert(dsn: str, label: str, number: int = 1) -> None:
    run_sql(dsn, INSERT, (label, number))


async def labels(stream: EventStream) -> list[str | None]:
    return [event.request_id for event in await stream.read()]


def test_twelve_thousand_events_are_all_returned_in_order(dsn: str, clock: Clock) -> None:
    async def work(stream: EventStream) -> None:
        insert(dsn, "new", 12_000)
        ids: list[int] = []
        while found := await stream.read():
            assert len(found) <= PAGE
            ids += [event.id for event in found]
        assert len(ids) == 12_000
        assert ids == sorted(set(ids))

    insert(dsn, "old", 10)
    use(dsn, clock, work)


# Among the last 10,000 ids, the stream looks for events that are committed late.
@pytest.mark.parametrize("number", [10, 12_000])
def test_events_from_before_the_start_are_not_returned(dsn: str, clock: Clock, number: int) -> None:
    async def work(stream: EventStream) -> None:
        assert await labels(stream) == []
        insert(dsn, "new")
        assert await labels(stream) == ["new"]
        assert await labels(stream) == []

    insert(dsn, "old", number)
    use(dsn, clock, work)


@pytest.mark.parametrize("number", [1, 3 * PAGE])
def test_events_that_are_committed_after_newer_ones_are_returned_once(
    dsn: str, clock: Clock, number: int
) -> None:
    async def work(stream: EventStream) -> None:
        with closing(psycopg2.connect(dsn)) as slow:
            slow.cursor().execute(INSERT, ("late", number))
            insert(dsn, "new")
            assert await labels(stream) == ["new"]
            assert await labels(stream) == []
            slow.commit()
        found: list[str | None] = []
        while page := await labels(stream):
            found += page
        assert found == ["late"] * number

    use(dsn, clock, work)


@pytest.mark.parametrize("newer", [1, 3 * PAGE])
def test_an_event_of_a_transaction_that_runs_at_the_start_is_returned(
    dsn: str, clock: Clock, newer: int
) -> None:
    with closing(psycopg2.connect(dsn)) as slow:

        async def work(stream: EventStream) -> None:
            assert await labels(stream) == []
            slow.commit()
            assert await labels(stream) == ["late"]
            assert await labels(stream) == []

        slow.cursor().execute(INSERT, ("late", 1))
        insert(dsn, "old", newer)
        use(dsn, clock, work)


@pytest.mark.parametrize(("seconds", "found"), [(599, ["late"]), (600, [])])
def test_ids_of_rolled_back_transactions_are_given_up_after_ten_minutes(
    dsn: str, clock: Clock, seconds: float, found: list[str]
) -> None:
    async def work(stream: EventStream) -> None:
        with closing(psycopg2.connect(dsn)) as slow:
            slow.cursor().execute(INSERT, ("late", 1))
            insert(dsn, "new")
            assert await labels(stream) == ["new"]
            clock.advance(seconds)
            assert await labels(stream) == []
            slow.commit()
        assert await labels(stream) == found

    use(dsn, clock, work)


def test_a_gap_of_any_size_in_the_ids_costs_nothing(dsn: str, clock: Clock) -> None:
    async def work(stream: EventStream) -> None:
        run_sql(
            dsn, "SELECT setval('events_id_seq', last_value + 1000000000000) FROM events_id_seq"
        )
        insert(dsn, "new")
        assert await labels(stream) == ["new"]

    use(dsn, clock, work)
