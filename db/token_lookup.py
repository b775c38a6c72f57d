"""The look-up of tokens that every request waits for: joined, never cached.

Requests that ask in the same turn of the loop share one statement; while it is under way
the next ones gather. The statement is always sent after the request arrived and its answer
is used for those who wait for it, once: a token revoked before the request is not found.
"""

import asyncio
from collections import deque

from db.errors import DatabaseError, Unavailable
from db.pool import Connection, Database
from db.rows import UserRow

_FIND_USERS = """
SELECT t.id, u.id, u.email, u.name, u.created_at, u.updated_at
FROM tokens t
JOIN users u ON u.id = t.user_id
WHERE t.id = ANY(%s::uuid[]) AND t.revoked_at IS NULL
"""
# How many ids one statement asks for at the most.
_BATCH_SIZE = 500


class TokenLookup:
    """Finds the users of tokens, over one connection of its own that heals itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._batches: deque[_Batch] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def find_user(self, token_id: str) -> UserRow | None:
        """Return the user whose token this is, or None where it is revoked or unknown.

        Raises Unavailable where Postgres does not answer within the time for which a
        connection is waited for.
        """
        if not self._batches or self._batches[-1].is_full:
            self._batches.append(_Batch(self._database.limits.acquire_timeout_seconds))
        answer = self._batches[-1].add(token_id)
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())
        return await answer

    async def close(self) -> None:
        """Let what is under way finish, and close the connection."""
        if self._worker is not None:
            await self._worker
        await self._disconnect()

    async def _work(self) -> None:
        """Answer batch after batch until nobody waits."""
        try:
            while self._batches:
                batch = self._batches.popleft()
                try:
                    batch.answer(await self._find_users(batch.token_ids))
                except DatabaseError as error:
                    batch.fail(error)
                except BaseException:
                    batch.fail(Unavailable("The look-up was broken off."))
                    raise
        finally:
            self._worker = None

    async def _find_users(self, token_ids: list[str]) -> dict[str, UserRow]:
        is_fresh = self._connection is None
        try:
            return await self._ask(token_ids)
        except Unavailable:
            if is_fresh:
                raise
        # The connection may have died while it lay idle: that says nothing of Postgres now.
        return await self._ask(token_ids)

    async def _ask(self, token_ids: list[str]) -> dict[str, UserRow]:
        if self._connection is None:
            self._connection = await self._database.connect()
        try:
            rows = await self._connection.fetch_all(_FIND_USERS, (token_ids,))
        except BaseException:
            await self._disconnect()
            raise
        return {row[0]: UserRow(*row[1:]) for row in rows}

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class _Batch:
    """Those who wait for one statement, each with a future of their own."""

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, list[asyncio.Future[UserRow | None]]] = {}
        late = Unavailable("Postgres did not answer in time.")
        self._deadline = self._loop.call_later(timeout, self.fail, late)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= _BATCH_SIZE

    @property
    def token_ids(self) -> list[str]:
        return list(self._waiting)

    def add(self, token_id: str) -> "asyncio.Future[UserRow | None]":
        answer: asyncio.Future[UserRow | None] = self._loop.create_future()
        self._waiting.setdefault(token_id, []).append(answer)
        return answer

    def answer(self, users: dict[str, UserRow]) -> None:
        """Give everybody their answer."""
        self._deadline.cancel()
        for token_id, answers in self._waiting.items():
            for answer in answers:
                # Done already: who waited was too late, or went away.
                if not answer.done():
                    answer.set_result(users.get(token_id))

    def fail(self, error: DatabaseError) -> None:
        """Give the error to everybody who has no answer yet."""
        self._deadline.cancel()
        for answers in self._waiting.values():
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)
