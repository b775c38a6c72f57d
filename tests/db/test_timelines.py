"""Timelines of a cluster that was promoted many times: replaced primaries are recognized."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from db.errors import ReadOnly
from db.fences import OPEN, fenced
from db.pool import Connection, Database
from db.timelines import Timelines, find_timeline
from tests.harness.pool_limits import LIMITS
from tests.harness.replication import primaries

# The names of WAL files have them in hexadecimal, in capital letters.
OLD, NEW = 0x19, 0x1A


async def is_closed(connection: Connection, timeline: int) -> bool:
    """Return whether the result of a lookup counts no more, as one of a timeline."""
    row = await connection.fetch_one(fenced("SELECT 1", timeline=timeline))
    assert row is not None
    return bool(row[0] != OPEN)


@pytest.mark.gen_test
async def test_a_primary_is_recognized_as_newer_or_replaced_by_its_timeline(
    stopped_cluster: Path, open_folder: Path
) -> None:
    timelines = Timelines()
    with primaries(stopped_cluster, open_folder, OLD, NEW) as nodes:
        async with AsyncExitStack() as stack:
            old, new = [
                await stack.enter_async_context((await opened(stack, node.url)).connection())
                for node in nodes
            ]
            older, newer = await find_timeline(old), await find_timeline(new)
            assert older
            assert newer
            assert not timelines.learn(older, "old")
            assert timelines.newest == OLD
            assert timelines.learn(newer, "new")
            assert timelines.newest == NEW
            assert not timelines.learn(newer, "new")
            with pytest.raises(ReadOnly, match=f"old was replaced: it is on timeline {OLD}"):
                timelines.learn(older, "old")
            closed = [
                await is_closed(connection, timeline)
                for connection in (old, new)
                for timeline in (OLD, NEW)
            ]
            assert closed == [False, True, True, False]


async def opened(stack: AsyncExitStack, url: str) -> Database:
    database = await Database.open(url, LIMITS)
    stack.push_async_callback(database.close)
    return database
