"""Sessions that wait for a synchronous standby: they are counted, reported and bounded."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from db.connection import Connection
from db.errors import TooManyWaiting
from db.pool import Database
from db.waiting_sessions import WaitingSessions, find_waiting_risk
from tests.harness.clock import Clock
from tests.harness.databases import use
from tests.harness.memory_directory import new_directory
from tests.harness.pool_limits import LIMITS
from tests.harness.replication import STANDBY, Replicated, replicated

# A connect, and the wait of a write, may take long on a busy machine.
PATIENT = replace(LIMITS, acquire_timeout_seconds=20, query_timeout_seconds=60)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
REASON = (
    "sessions wait for a synchronous standby: 1; none acknowledges"
    f" (synchronous_standby_names = '{STANDBY}')"
)


@pytest.fixture(scope="module")
def nodes(stopped_cluster: Path) -> Iterator[Replicated]:
    with new_directory() as folder, replicated(stopped_cluster, Path(folder)) as nodes:
        yield nodes


@asynccontextmanager
async def one_waiting(nodes: Replicated, database: Database) -> AsyncIterator[Connection]:
    """Let a session wait for the standby during the block; yield the connection of another."""
    nodes.standby.freeze()
    try:
        writing = asyncio.create_task(write(database))
        await asyncio.to_thread(nodes.primary.wait_for, f"({WAITING}) = 1")
        async with database.connection() as connection:
            yield connection
    finally:
        nodes.standby.thaw()
    await writing


async def write(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE userauth_schema SET version = version")


def test_only_sessions_of_the_same_role_that_have_waited_for_long_are_counted(
    nodes: Replicated,
) -> None:
    dsn = nodes.primary.url

    async def work(database: Database) -> None:
        sessions = WaitingSessions(Clock())
        other = await Database.open(dsn.replace("userauth@", "postgres@"), PATIENT)
        async with one_waiting(nodes, database) as own, other.connection() as others:
            for connection, limit, seconds in ((own, 1, 600), (own, 2, 0), (others, 1, 0)):
                await sessions.check(connection, limit=limit, seconds=seconds)
            with pytest.raises(TooManyWaiting) as raised:
                await sessions.check(own, limit=1, seconds=0)
            assert str(raised.value) == REASON
            [risk] = await find_waiting_risk(own, 0)
            assert risk == f"{REASON}. {TooManyWaiting.advice}"
            assert await find_waiting_risk(own, 600) == []
            assert await find_waiting_risk(others, 0) == []
        await other.close()

    use(dsn, work, PATIENT)


def test_waiting_sessions_are_logged_once_a_minute_when_outages_are(
    nodes: Replicated, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(database: Database) -> None:
        sessions = WaitingSessions(clock)
        async with one_waiting(nodes, database) as connection:
            await sessions.check(connection, limit=2, seconds=0)
            assert caplog.messages == []
            sessions.is_logged = True
            for _ in range(13):
                await sessions.check(connection, limit=2, seconds=0)
                clock.advance(10)

    use(nodes.primary.url, work, PATIENT)
    assert caplog.messages == [REASON] * 3


def test_the_number_that_is_refused_is_logged_as_an_outage_until_a_connection_is_opened(
    nodes: Replicated, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(database: Database) -> None:
        late = replace(PATIENT, query_timeout_seconds=0, pool_max=1)
        other = await Database.open(nodes.primary.url, replace(late, pool_min=0))
        other.log_outages()
        async with one_waiting(nodes, database):
            for _ in range(2):
                with pytest.raises(TooManyWaiting):
                    async with other.connection():
                        pass
            other.record_answer()
        async with other.dedicated_connection(20):
            pass
        await other.close()

    caplog.set_level("INFO")
    use(nodes.primary.url, work, PATIENT)
    assert caplog.messages == [
        f"{REASON}: requests that need a new connection get 503 until a standby acknowledges",
        "Postgres can be used again: requests are served",
    ]


def test_a_pool_logs_waiting_sessions_from_its_first_request(
    nodes: Replicated, caplog: pytest.LogCaptureFixture
) -> None:
    """Until then, a server that starts reports them itself."""

    async def work(database: Database) -> None:
        # What waits for as long as this is late; the write waits for longer.
        late = replace(PATIENT, query_timeout_seconds=0.01, pool_max=2)
        async with one_waiting(nodes, database):
            other = await Database.open(nodes.primary.url, late)
            assert caplog.messages == []
            other.log_outages()
            async with other.dedicated_connection(20):
                assert caplog.messages == [REASON]
            await other.close()

    use(nodes.primary.url, work, PATIENT)
