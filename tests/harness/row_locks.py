"""Another session that holds locks on rows."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED

_SECONDS = 20.0  # a statement that waits too long ends earlier
WAITING = """
SELECT count(DISTINCT pid)
FROM pg_locks
JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND strpos(query, %s) > 0
"""


class Holder:
    """Another session, in a transaction that holds locks."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, sql: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def commit(self) -> None:
        self._connection.commit()

    async def sees_waiting(self, *tasks: "asyncio.Task[Any]", statement: str = "") -> None:
        """Return when all of these wait for a lock, of this session or of one another.

        Housekeeping or the sender of messages may wait as well, and are not counted if
        ``statement`` is a part of the statements of the tasks alone.
        """
        async with asyncio.timeout(_SECONDS):
            while self._count_waiting(statement) < len(tasks):
                assert not any(task.done() for task in tasks), tasks
                await asyncio.sleep(0.002)

    def _count_waiting(self, statement: str) -> int:
        # Otherwise the statements of other sessions remain those that this transaction saw first.
        self.run("SELECT pg_stat_clear_snapshot()")
        return int(self.run(WAITING, (statement,))[0][0])


@contextmanager
def holding(dsn: str, sql: str, parameters: tuple[object, ...] = ()) -> Iterator[Holder]:
    """Run a statement in a transaction that the block ends, or else is rolled back."""
    with closing(psycopg2.connect(dsn)) as connection:
        connection.set_session(isolation_level=ISOLATION_LEVEL_READ_COMMITTED)
        holder = Holder(connection)
        holder.run(sql, parameters)
        yield holder
