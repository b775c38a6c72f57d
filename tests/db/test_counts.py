"""Counts that move with the address of a user."""

import pytest

from db import counts
from db.pool import Database
from tests.harness.databases import use
from tests.harness.sql import run_sql

_INSERT = """
INSERT INTO throttle (subject, failures, last_at, before_at, next_at, place, place_next_at)
VALUES (%s, %s, '2027-01-15Z', '2027-01-14Z', '2027-01-16Z', 'here', '2027-01-17Z')
"""
_ROWS = """
SELECT subject, failures, last_at, before_at, next_at, place, place_next_at
FROM throttle
ORDER BY subject
"""


def move(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await counts.move_count(connection, "account:old", "account:new")

    use(dsn, work)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_count_moves_with_everything_in_it(dsn: str, *, is_known: bool) -> None:
    """An attempt at the new address, at any time, may have made a count."""
    run_sql(dsn, _INSERT, ("account:old", 3))
    [(_, *before)] = run_sql(dsn, _ROWS)
    if is_known:
        run_sql(dsn, "INSERT INTO throttle VALUES ('account:new', 7, now())")
    move(dsn)
    assert run_sql(dsn, _ROWS) == [("account:new", *before)]


def test_without_a_count_nothing_moves(dsn: str) -> None:
    run_sql(dsn, _INSERT, ("account:new", 7))
    before = run_sql(dsn, _ROWS)
    move(dsn)
    assert run_sql(dsn, _ROWS) == before
