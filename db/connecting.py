"""Making a connection, and telling it how to behave."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiopg
import psycopg2
from psycopg2.extensions import parse_dsn

from db.errors import ReadOnly, Unavailable
from db.failures import connection_failure
from db.pinned import PIN, Waits, pin_parameters, read_pinned

# How much longer than we wait for a statement Postgres works on it. A client that gives up
# only closes the connection; the statement would run on, and keep its locks.
_GRACE_SECONDS = 0.5
# How long a statement waits for a lock: who holds one for longer is not in a request of ours.
_LOCK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections there are, and how long, in seconds, they are waited for."""

    pool_min: int
    pool_max: int
    acquire_timeout_seconds: float
    query_timeout_seconds: float


def describe(dsn: str) -> str:
    """Return where a Postgres is, without who asks and by which password."""
    parts = parse_dsn(dsn)
    return f"{parts.get('host', 'localhost')}/{parts.get('dbname', parts.get('user', ''))}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to connect to, and what to do there first.

    ``path`` is the search_path of an earlier connection: it is looked for only once.
    """

    dsn: str
    limits: PoolLimits
    path: str | None = None
    setup: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A new connection, and the search_path that was set on it."""

    raw: aiopg.Connection
    path: str


async def connect(wanted: Wanted) -> Opened:
    """Return a new connection to a primary; raises DatabaseError.

    Each address of the host has its share of the time: one that is silent is not the end of it.
    """
    deadline = asyncio.get_running_loop().time() + wanted.limits.acquire_timeout_seconds
    try:
        async with asyncio.timeout_at(deadline):
            addresses = await _addresses(wanted.dsn)
    except (psycopg2.Error, TimeoutError, OSError, asyncio.CancelledError) as error:
        raise connection_failure(error) from None
    reasons: list[Unavailable] = []
    for number, address in enumerate(addresses):
        left = deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(left / (len(addresses) - number)):
                return await _connect_to(address, wanted)
        except (psycopg2.Error, TimeoutError, OSError, asyncio.CancelledError) as error:
            failure = connection_failure(error)
            if not isinstance(failure, Unavailable):
                raise failure from None
            reasons.append(failure)
        except Unavailable as error:
            reasons.append(error)
    raise _together(reasons)


def _together(reasons: Sequence[Unavailable]) -> Unavailable:
    """Return why none of the addresses of a host could be used."""
    said = "; ".join(dict.fromkeys(map(str, reasons)))
    is_read_only = any(isinstance(reason, ReadOnly) for reason in reasons)
    return ReadOnly(said) if is_read_only else Unavailable(said)


async def _connect_to(address: Mapping[str, Any], wanted: Wanted) -> Opened:
    raw = await aiopg.connect(wanted.dsn, **_options(wanted.limits), **address)
    try:
        cursor = await raw.cursor()
        await cursor.execute(PIN, pin_parameters(_waits(wanted.limits), wanted.path))
        place = address.get("hostaddr") or describe(wanted.dsn)
        opened = Opened(raw, read_pinned(await cursor.fetchone(), place))
        if wanted.setup:
            await cursor.execute(wanted.setup)
    except BaseException:
        await raw.close()
        raise
    return opened


def _waits(limits: PoolLimits) -> Waits:
    return Waits(
        statement=int((limits.query_timeout_seconds + _GRACE_SECONDS) * 1000),
        lock=int(min(_LOCK_SECONDS, limits.query_timeout_seconds) * 1000),
    )


def _options(limits: PoolLimits) -> dict[str, Any]:
    return {
        "timeout": limits.query_timeout_seconds,
        # Conversions that nothing here uses; hstore alone costs a query per connection.
        "enable_json": False,
        "enable_hstore": False,
        "enable_uuid": False,
        "application_name": "userauth",
        "client_encoding": "UTF8",
        # A peer that went silent is noticed by the kernel too.
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }


async def _addresses(dsn: str) -> list[dict[str, str]]:
    """Return the addresses of the host in a dsn: libpq would block the loop to look them up."""
    parts = parse_dsn(dsn)
    host = parts.get("host", "")
    if not host or host.startswith(("/", "@")) or "hostaddr" in parts:
        return [{}]
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [{"hostaddr": str(address[0])} for *_, address in found]
