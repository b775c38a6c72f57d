"""Transactions: what runs after the commit, and which failures are raised."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from db.errors import Locked, StatementError, Unavailable
from db.lookups import open_lookups
from db.pool import Database
from rules.errors import DatabaseUnavailable, RowLocked
from services.transactions import connection_to, result_of, transaction_on
from tests.harness.databases import use

VIOLATION_AT_COMMIT = (
    "CREATE TEMPORARY TABLE numbers (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
    "INSERT INTO numbers VALUES (1), (1)",
)
Begin = Callable[[Database], AbstractAsyncContextManager[object]]


def test_an_action_runs_after_the_commit(dsn: str) -> None:
    async def work(database: Database) -> None:
        done: list[str] = []
        async with transaction_on(database) as transaction:
            transaction.on_commit(lambda: done.append("first"))
            transaction.on_commit(lambda: done.append("second"))
            assert done == []
        assert done == ["first", "second"]

    use(dsn, work)


def test_an_action_does_not_run_after_a_rollback(dsn: str) -> None:
    async def work(database: Database) -> None:
        done: list[str] = []
        with pytest.raises(RuntimeError, match="on purpose"):
            async with transaction_on(database) as transaction:
                transaction.on_commit(lambda: done.append("action"))
                raise RuntimeError("on purpose")
        assert done == []

    use(dsn, work)


def test_an_action_does_not_run_where_the_commit_fails(dsn: str) -> None:
    async def work(database: Database) -> None:
        done: list[str] = []
        with pytest.raises(StatementError):
            async with transaction_on(database) as transaction:
                transaction.on_commit(lambda: done.append("action"))
                for statement in VIOLATION_AT_COMMIT:
                    await transaction.connection.execute(statement)
        assert done == []

    use(dsn, work)


@pytest.mark.parametrize(
    ("error", "raised"), [(Unavailable, DatabaseUnavailable), (Locked, RowLocked)]
)
@pytest.mark.parametrize("begin", [connection_to, transaction_on])
def test_a_failure_of_the_database_is_raised_as_a_problem(
    dsn: str, error: type[Exception], raised: type[Exception], begin: Begin
) -> None:
    async def work(database: Database) -> None:
        with pytest.raises(raised) as rejection:
            async with begin(database):
                raise error("on purpose")
        assert type(rejection.value) is raised

    use(dsn, work)


def test_a_lookup_that_fails_is_raised_as_a_problem(dsn: str) -> None:
    async def fail() -> None:
        raise Unavailable("on purpose")

    async def work(_database: Database) -> None:
        with pytest.raises(DatabaseUnavailable):
            await result_of(fail())

    use(dsn, work)


def test_a_lookup_after_close_is_raised_as_a_problem(dsn: str) -> None:
    async def work(database: Database) -> None:
        lookups = open_lookups(database)
        await lookups.close()
        with pytest.raises(DatabaseUnavailable):
            await result_of(lookups.users_of_tokens.find("0"))

    use(dsn, work)
