"""Counts of attempts: updated in place, and deleted by an index."""

import math
from datetime import datetime

import pytest

from db import counts, throttle
from db.lookups import open_lookups
from db.pool import Connection, Database
from db.rows import CountRow, ThrottleDecision
from db.throttle import Subject
from tests.harness.databases import use
from tests.harness.sql import run_sql

SUBJECTS = [
    Subject("account:a", 100, max_failures=100),
    Subject("address:b", 100, forget_seconds=60),
    Subject("pair:c", 100, forget_seconds=60),
]
ATTEMPTS = 10
ROWS = 30_000
BEGIN = datetime(2000, 1, 1)  # noqa: DTZ001 - the column is in UTC without saying so
_UPDATES = """
SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'throttle'
"""


async def record_failure(connection: Connection) -> ThrottleDecision:
    decision = await throttle.record_failure(
        connection, SUBJECTS, network="here", first_delay_seconds=1, longest_delay_seconds=60
    )
    assert decision is not None
    return decision


def test_counts_are_updated_in_place(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.transaction() as connection:
            await throttle.ensure_counts(connection, SUBJECTS)
            for _ in range(ATTEMPTS):
                assert (await record_failure(connection)).is_allowed
            row = await connection.fetch_one(_UPDATES)
        assert row is not None
        updated, in_place = row
        assert updated == ATTEMPTS * len(SUBJECTS)
        # The first update of an hour changes the index.
        assert in_place >= updated - len(SUBJECTS)

    use(dsn, work)


def test_the_commit_of_a_count_waits_for_no_disk_and_every_other_one_does(dsn: str) -> None:
    async def count(connection: Connection) -> None:
        decision = await record_failure(connection)
        await throttle.record_success(
            connection,
            SUBJECTS,
            decremented="address:b",
            account="account:a",
            network="here",
            attempted_at=decision.at,
        )

    async def work(database: Database) -> None:
        calls = (lambda each: throttle.ensure_counts(each, SUBJECTS), record_failure, count)
        for call in calls:
            async with database.transaction() as connection:
                assert await connection.fetch_one("SHOW synchronous_commit") == ("on",)
                await call(connection)
                assert await connection.fetch_one("SHOW synchronous_commit") == ("off",)
            async with database.connection() as connection:
                await call(connection)
                assert await connection.fetch_one("SHOW synchronous_commit") == ("on",)

    use(dsn, work)


def test_an_endless_wait_is_infinite_and_nothing_is_counted(dsn: str) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await throttle.ensure_counts(connection, SUBJECTS)
            await connection.execute(
                "UPDATE throttle SET next_at = 'infinity' WHERE subject = 'pair:c'"
            )
            decision = await record_failure(connection)
        assert (decision.is_allowed, decision.wait_seconds) == (False, math.inf)
        lookups = open_lookups(database)
        found = await lookups.attempt_counts.find("pair:c")
        await lookups.close()
        assert found == CountRow(
            wait_seconds=math.inf, usual_network=None, usual_network_wait_seconds=None
        )

    use(dsn, work)
    assert run_sql(dsn, "SELECT max(failures) FROM throttle") == [(0,)]


def fill(dsn: str) -> None:
    """Insert counts of accounts and of others, half of each expired."""
    run_sql(
        dsn,
        "INSERT INTO throttle (subject, failures, last_at)"
        " SELECT kind || n, 1, clock_timestamp() - make_interval(hours => n %% 48)"
        " FROM generate_series(1, %s) AS n, (VALUES ('account:'), ('pair:')) AS kinds (kind)",
        (ROWS // 2,),
    )
    run_sql(dsn, "ANALYZE throttle")


def parts_of(plan: list[tuple[str]]) -> list[str]:
    return [line.strip(" ->") for (line,) in plan]


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (counts.DELETE_OLD, "throttle_last_hour"),
        (counts.DELETE_OLD_ACCOUNTS, "throttle_account_last_hour"),
    ],
)
def test_old_counts_are_found_by_their_index(dsn: str, sql: str, index: str) -> None:
    fill(dsn)
    parts = parts_of(
        run_sql(dsn, f"EXPLAIN {sql}", {"since": BEGIN, "kept_seconds": 86400.0, "limit": 500})
    )
    assert any(part.startswith(f"Index Scan using {index} on throttle") for part in parts), parts
    assert any(part.startswith("Tid Scan on throttle") for part in parts)
    assert not any("Seq Scan" in part or "Sort" in part for part in parts), parts


def test_waits_of_networks_are_found_without_reading_the_accounts(dsn: str) -> None:
    fill(dsn)
    run_sql(
        dsn,
        "INSERT INTO throttle (subject, failures, last_at, next_at) VALUES"
        " ('address:a', 9, now(), now() + interval '1 h'), ('pair:a', 3, now(), now()),"
        " ('pair:b', 5, now(), now() + interval '1 h'), ('pair:c', 7, now(), 'infinity'),"
        " ('registration:a', 7, now(), 'infinity'), ('account:a', 99, now(), 'infinity')",
    )
    parameters = {"prefixes": ["address:", "pair:"], "without": ["pair:x"], "kept_seconds": 3600.0}
    sql, values = f"EXPLAIN {counts.FIND_WAITING_NETWORKS}", {**parameters, "limit": 9}
    parts = parts_of(run_sql(dsn, sql, values))
    assert any("throttle_last_hour" in part for part in parts), parts
    assert not any("Seq Scan" in part for part in parts), parts

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            found = await counts.find_waiting_networks(
                connection,
                prefixes=["address:", "pair:"],
                without=["pair:b"],
                kept_seconds=3600,
                limit=9,
            )
        assert [each.subject for each in found] == ["address:a", "pair:c"]

    use(dsn, work)


def test_counts_of_accounts_and_others_are_deleted_separately_oldest_first(dsn: str) -> None:
    fill(dsn)

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            since, removed = BEGIN, []
            for _ in range(20):
                count, since = await counts.delete_old(
                    connection, accounts=False, since=since, kept_seconds=86400, limit=500
                )
                removed.append(count)
        assert removed[:3] == [500] * 3
        assert removed[-1] == 0

    use(dsn, work)
    left = run_sql(
        dsn,
        "SELECT split_part(subject, ':', 1), count(*), min(last_at) > now() - interval '26 hours'"
        " FROM throttle GROUP BY 1 ORDER BY 1",
    )
    [(_, accounts, are_new), (_, others, others_are_new)] = left
    assert (accounts, are_new, others_are_new) == (ROWS // 2, False, True)
    assert ROWS // 4 <= others <= ROWS // 3


def test_a_locked_count_is_skipped(dsn: str) -> None:
    run_sql(dsn, "INSERT INTO throttle VALUES ('pair:a', 1, now() - interval '9 h')")

    async def work(database: Database) -> None:
        async def remove() -> int:
            async with database.connection() as connection:
                removed, _ = await counts.delete_old(
                    connection, accounts=False, since=BEGIN, kept_seconds=3600, limit=500
                )
                return removed

        async with database.transaction() as holder:
            await holder.execute("UPDATE throttle SET failures = 2")
            assert await remove() == 0
        assert await remove() == 1

    use(dsn, work)
