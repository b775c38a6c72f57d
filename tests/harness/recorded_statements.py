"""The statements that requests send to Postgres."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest

from db.connecting import connect
from db.connection import Connection
from ops.timing import current_timing

_is_connecting: ContextVar[bool] = ContextVar("is_connecting", default=False)


def record_statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the text of each statement that a request sends from now on.

    Statements of periodic tasks do not count, nor those of a connection that the pool opens:
    which request needs a new one depends on the order of events.
    """
    sent: list[str] = []
    for name in ("execute", "fetch_one", "fetch_all"):
        monkeypatch.setattr(Connection, name, _recorded(getattr(Connection, name), sent))
    monkeypatch.setattr("db.connector.connect", _unrecorded(connect))
    return sent


def _recorded(run: Callable[..., Awaitable[object]], sent: list[str]) -> Callable[..., object]:
    async def recorded(self: Connection, sql: str, *more: object) -> object:
        if current_timing() is not None and not _is_connecting.get():
            sent.append(sql)
        return await run(self, sql, *more)

    return recorded


def _unrecorded(open_connection: Callable[..., Awaitable[object]]) -> Callable[..., object]:
    async def unrecorded(*arguments: object, **options: object) -> object:
        token = _is_connecting.set(True)
        try:
            return await open_connection(*arguments, **options)
        finally:
            _is_connecting.reset(token)

    return unrecorded
