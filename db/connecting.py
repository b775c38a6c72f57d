"""Making a connection, and telling it how to behave."""

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiopg
import psycopg2
from psycopg2.extensions import parse_dsn

from db.failures import connection_failure

# How much longer than we wait for a statement Postgres works on it. A client that gives up
# only closes the connection; the statement would run on, and keep its locks.
_GRACE_SECONDS = 0.5

# Read committed is what the locks in db.tokens and db.users rely on: whoever waited for a
# lock must see what its holder committed. A database may have another default.
_BEHAVE = """
SELECT
    set_config('TimeZone', 'UTC', false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('statement_timeout', %s, false),
    set_config('idle_in_transaction_session_timeout', %s, false)
"""


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


async def connect(dsn: str, limits: PoolLimits, setup: str = "") -> aiopg.Connection:
    """Return a new connection, on which ``setup`` was run; raises DatabaseError."""
    try:
        async with asyncio.timeout(limits.acquire_timeout_seconds):
            raw = await _connect_to_any(dsn, limits)
            try:
                await _behave(raw, limits, setup)
            except BaseException:
                await raw.close()
                raise
    except (psycopg2.Error, TimeoutError, OSError, asyncio.CancelledError) as error:
        raise connection_failure(error) from None
    return raw


async def _connect_to_any(dsn: str, limits: PoolLimits) -> aiopg.Connection:
    """Connect to the first address of the host that takes us."""
    *others, last = [_options(limits) | address for address in await _addresses(dsn)]
    for options in others:
        with suppress(psycopg2.OperationalError):
            return await aiopg.connect(dsn, **options)
    return await aiopg.connect(dsn, **last)


async def _behave(raw: aiopg.Connection, limits: PoolLimits, setup: str) -> None:
    milliseconds = str(int((limits.query_timeout_seconds + _GRACE_SECONDS) * 1000))
    cursor = await raw.cursor()
    await cursor.execute(_BEHAVE, (milliseconds, milliseconds))
    if setup:
        await cursor.execute(setup)


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
