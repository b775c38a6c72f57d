"""Opening a connection to a primary, and its options."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiopg
import psycopg2

from db.attempts import try_hosts
from db.connection import Connection, close_once
from db.errors import Unavailable
from db.first_answer import Report, reporting_to
from db.hosts import Host
from db.role_settings import CHECK_PARAMETERS, CHECK_SESSION, read_shared_session
from db.route import Route
from db.session_settings import (
    SET_SESSION,
    StatementTimeouts,
    read_session,
    session_parameters,
)
from db.timelines import Timeline, find_timeline
from db.translation import finding_schema, translate_connection_error
from settings.choices import Pooler

# Added to our time limit for a statement, so that Postgres ends it soon after we stop waiting: a
# statement would otherwise continue after its client has disconnected, and keep its locks.
_GRACE_SECONDS = 0.5
# The maximum wait of a statement for a lock: no request holds one for longer.
_LOCK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The number of connections, the time limits, in seconds, and the pooler in between."""

    pool_min: int
    pool_max: int
    acquire_timeout_seconds: float
    query_timeout_seconds: float
    pooler: Pooler = Pooler.NONE

    @property
    def shares_sessions(self) -> bool:
        """Return whether a pooler gives a session to others after each transaction."""
        return self.pooler is Pooler.TRANSACTION


@dataclass(frozen=True, slots=True)
class OpenedConnection:
    """A new connection, its search_path, its host, its timeline, and whether the latter is new."""

    raw: aiopg.Connection
    search_path: str
    host: Host
    timeline: Timeline | None
    is_promoted: bool


async def connect(
    route: Route, limits: PoolLimits, *, search_path: str | None = None, setup: str = ""
) -> OpenedConnection:
    """Open a connection to a primary; raises DatabaseError.

    ``search_path`` is that of an earlier connection: without one, Postgres searches for it.
    ``setup`` is executed first.
    """

    async def attempt(host: Host, report: Report) -> OpenedConnection:
        return await _connect_to(host, route, limits, report, search_path=search_path, setup=setup)

    return await try_hosts(route, limits.acquire_timeout_seconds, attempt)


async def find_promoted(route: Route, limits: PoolLimits) -> OpenedConnection:
    """Open a connection to a host that has replaced the primary.

    Raises DatabaseError if there is none.
    """
    known = route.primary

    async def attempt(host: Host, report: Report) -> OpenedConnection:
        if host == known:
            raise Unavailable(f"{host} is known")
        opened = await _connect_to(host, route, limits, report)
        if not opened.is_promoted:
            close_once(opened.raw)
            raise Unavailable(f"{host} has replaced no primary")
        return opened

    return await try_hosts(route, limits.acquire_timeout_seconds, attempt)


async def _connect_to(
    host: Host,
    route: Route,
    limits: PoolLimits,
    report: Report,
    *,
    search_path: str | None = None,
    setup: str = "",
) -> OpenedConnection:
    # try_hosts() has an earlier limit.
    deadline = asyncio.get_running_loop().time() + limits.acquire_timeout_seconds
    with _translated(str(host)):
        raw = await aiopg.connect(
            route.dsn, connection_factory=reporting_to(report), **_options(limits, host)
        )
        try:
            session = await _prepare_session(raw, limits, search_path, str(host))
            connection = Connection(raw, deadline=deadline)
            await route.waiting_sessions.check(
                connection, limit=limits.pool_max, seconds=limits.query_timeout_seconds
            )
            if setup:
                await (await raw.cursor()).execute(setup)
            timeline = await find_timeline(connection)
            is_promoted = timeline is not None and route.timelines.learn(timeline, str(host))
        except BaseException:
            close_once(raw)
            raise
    return OpenedConnection(raw, session, host, timeline, is_promoted)


@contextmanager
def _translated(host: str) -> Iterator[None]:
    """Translate errors, except a timeout: another host is tried then."""
    try:
        yield
    except TimeoutError:
        raise
    except (psycopg2.Error, OSError, asyncio.CancelledError) as error:
        raise translate_connection_error(error, host) from None


async def _prepare_session(
    raw: aiopg.Connection, limits: PoolLimits, search_path: str | None, host: str
) -> str:
    """Set the settings of the session, or check those of the role; return the search_path."""
    cursor = await raw.cursor()
    timeouts = _timeouts(limits)
    if limits.shares_sessions:
        with finding_schema():
            await cursor.execute(CHECK_SESSION, CHECK_PARAMETERS)
        return read_shared_session(await cursor.fetchone(), host, timeouts)
    pid = None if limits.pooler is Pooler.SESSION else raw.raw.get_backend_pid()
    with finding_schema():
        await cursor.execute(SET_SESSION, session_parameters(timeouts, search_path, pid))
    return read_session(await cursor.fetchone(), host)


def _timeouts(limits: PoolLimits) -> StatementTimeouts:
    return StatementTimeouts(
        statement=int((limits.query_timeout_seconds + _GRACE_SECONDS) * 1000),
        lock=int(min(_LOCK_SECONDS, limits.query_timeout_seconds) * 1000),
    )


def _options(limits: PoolLimits, host: Host) -> dict[str, Any]:
    return {
        "timeout": limits.acquire_timeout_seconds,
        # libpq gets one host at a time, since aiopg watches only the first of its sockets; whether
        # it is a primary is checked afterwards.
        "target_session_attrs": "any",
        **host.parameters,
        # Unused conversions; that of hstore costs a query per connection.
        "enable_json": False,
        "enable_hstore": False,
        "enable_uuid": False,
        "application_name": "userauth",
        "client_encoding": "UTF8",
        # The kernel closes a connection whose peer stopped answering.
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
