"""Opening a connection to a primary, and its options."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiopg
import psycopg2
from psycopg2.extensions import parse_dsn

from db.connection import Connection
from db.errors import ConnectionRejected, InvalidUrl, PoolerNotSupported, ReadOnly, Unavailable
from db.session_settings import (
    SET_SESSION,
    StatementTimeouts,
    read_session,
    session_parameters,
)
from db.timelines import Timelines
from db.translation import translate_connection_error
from db.waiting_sessions import check_waiting_sessions

# Added to our time limit for a statement, so that Postgres ends it soon after we stopped waiting:
# a process that disconnects does not end its statement, which would keep its locks.
_GRACE_SECONDS = 0.5
# The maximum wait of a statement for a lock: no request holds one for longer.
_LOCK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The number of connections, and the time limits, in seconds."""

    pool_min: int
    pool_max: int
    acquire_timeout_seconds: float
    query_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class OpenedConnection:
    """A new connection, its search_path, and whether it leads to a new primary."""

    raw: aiopg.Connection
    search_path: str
    is_promoted: bool


def parse_url(dsn: str) -> dict[str, str]:
    """Return the parts of a DSN; raises InvalidUrl."""
    try:
        return dict(parse_dsn(dsn))
    except psycopg2.ProgrammingError:
        # Neither the message of libpq nor a traceback may be shown: they quote the password.
        raise InvalidUrl(
            "DATABASE_URL is malformed: check its percent-encoding, and the names and values of the"
            " options after the question mark."
        ) from None


def describe(dsn: str) -> str:
    """Return the host and the database of a DSN, without the user and the password."""
    parts = parse_url(dsn)
    return f"{parts.get('host', 'localhost')}/{parts.get('dbname', parts.get('user', ''))}"


async def connect(
    dsn: str,
    limits: PoolLimits,
    timelines: Timelines,
    *,
    search_path: str | None = None,
    setup: str = "",
) -> OpenedConnection:
    """Open a connection to a primary; raises DatabaseError.

    ``timelines`` and ``search_path`` are those of earlier connections: without the latter, Postgres
    searches for it. ``setup`` is executed first. The addresses of the host share the time limit.
    """
    deadline = asyncio.get_running_loop().time() + limits.acquire_timeout_seconds
    addresses = await _resolve(dsn, deadline)
    reasons: list[Unavailable] = []
    for number, address in enumerate(addresses):
        seconds_left = deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(seconds_left / (len(addresses) - number)):
                given = (address, dsn, limits, timelines)
                return await _connect_to(*given, search_path=search_path, setup=setup)
        except (psycopg2.Error, TimeoutError, OSError, asyncio.CancelledError) as error:
            failure = translate_connection_error(error)
            if not isinstance(failure, Unavailable) or isinstance(failure, PoolerNotSupported):
                raise failure from None
            reasons.append(failure)
        except Unavailable as error:
            reasons.append(error)
    raise _combined(reasons)


def _combined(reasons: Sequence[Unavailable]) -> Unavailable:
    """Return one error with the reason of each address."""
    message = "; ".join(dict.fromkeys(map(str, reasons)))
    for kind in (ReadOnly, ConnectionRejected):
        if any(isinstance(reason, kind) for reason in reasons):
            return kind(message)
    return Unavailable(message)


async def _connect_to(
    address: Mapping[str, Any],
    dsn: str,
    limits: PoolLimits,
    timelines: Timelines,
    *,
    search_path: str | None,
    setup: str,
) -> OpenedConnection:
    raw = await aiopg.connect(dsn, **_options(limits), **address)
    try:
        cursor = await raw.cursor()
        await cursor.execute(SET_SESSION, session_parameters(_timeouts(limits), search_path))
        host = address.get("hostaddr") or describe(dsn)
        search_path = read_session(await cursor.fetchone(), host)
        seconds = limits.query_timeout_seconds
        connection = Connection(raw, deadline=asyncio.get_running_loop().time() + seconds)
        await check_waiting_sessions(connection, limit=limits.pool_max, seconds=seconds)
        if setup:
            await cursor.execute(setup)
        is_promoted = await timelines.meet(connection, host)
    except BaseException:
        await raw.close()
        raise
    return OpenedConnection(raw, search_path, is_promoted)


def _timeouts(limits: PoolLimits) -> StatementTimeouts:
    return StatementTimeouts(
        statement=int((limits.query_timeout_seconds + _GRACE_SECONDS) * 1000),
        lock=int(min(_LOCK_SECONDS, limits.query_timeout_seconds) * 1000),
    )


def _options(limits: PoolLimits) -> dict[str, Any]:
    return {
        "timeout": limits.query_timeout_seconds,
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


async def _resolve(dsn: str, deadline: float) -> list[dict[str, str]]:
    """Return the addresses of the host in a DSN: libpq would block the loop to resolve it."""
    parts = parse_url(dsn)
    host = parts.get("host", "")
    if not host or host.startswith(("/", "@")) or "hostaddr" in parts:
        return [{}]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(deadline):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:  # of the IDNA encoding
        raise InvalidUrl(
            "The host name in DATABASE_URL is invalid: each of its labels must have 1 to 63"
            " characters."
        ) from None
    except (TimeoutError, OSError, asyncio.CancelledError) as error:
        raise translate_connection_error(error) from None
    return [{"hostaddr": str(address[0])} for *_, address in found]
