"""The database: start the embedded Postgres, connect, apply the schema, disconnect."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

from db.clock import PostgresClock
from db.connecting import PoolLimits
from db.digest_key import get_digest_key
from db.dsn import describe
from db.durability import find_risks
from db.pool import Database
from db.pooler import Location, check_location, check_pooler, find_pooler_risks, get_location
from db.schema import apply_schema
from ops.logs import SERVER
from ops.metrics import Metrics
from postgres.embedded import EmbeddedPostgres
from rules.digests import Digests
from services.database_check import NeededConnections, find_connection_risk
from settings import Settings
from wiring.errors import database_advice
from wiring.program import read_schema


@contextmanager
def open_postgres(settings: Settings) -> Iterator[str]:
    """Yield the DSN of Postgres; start the embedded one if the settings name no other."""
    with open_embedded(settings) as embedded:
        yield dsn_of(settings, embedded)


@contextmanager
def open_embedded(settings: Settings) -> Iterator[EmbeddedPostgres | None]:
    """Start the embedded Postgres and yield it, or None if the settings name another one."""
    if not settings.database.is_embedded:
        yield None
        return
    embedded = EmbeddedPostgres.start(settings.database.embedded_dir)
    try:
        yield embedded
    finally:
        embedded.stop()


def dsn_of(settings: Settings, embedded: EmbeddedPostgres | None) -> str:
    """Return the DSN of the embedded Postgres, or of the one that the settings name."""
    return embedded.dsn if embedded else settings.database.url.get_secret_value()


@asynccontextmanager
async def open_database(
    settings: Settings, dsn: str, *, may_migrate: bool = True, metrics: Metrics | None = None
) -> AsyncIterator[Database]:
    """Connect to the database, apply the schema, and disconnect after use."""
    with database_advice():
        location = (
            await _migrate_directly(settings, may_migrate=may_migrate)
            if settings.database.direct_url
            else None
        )
        observe = metrics.observe_connection_wait if metrics else None
        database = await Database.open(dsn, pool_limits(settings), observe)
    try:
        with database_advice():
            await check_pooler(database)
            if location is None:
                await apply_schema(database, read_schema(), may_migrate=may_migrate)
            else:
                await check_location(database, location)
        yield database
    finally:
        await database.close()


async def _migrate_directly(settings: Settings, *, may_migrate: bool) -> Location:
    """Apply the schema without the pooler; return the location of the database."""
    async with direct_database(settings) as direct:
        await apply_schema(direct, read_schema(), may_migrate=may_migrate)
        return await get_location(direct)


@asynccontextmanager
async def direct_database(settings: Settings) -> AsyncIterator[Database]:
    """Open a connection for migrations and checks, without the pooler if the settings allow."""
    direct = settings.database.direct
    limits = replace(pool_limits(settings), pooler=direct.pooler)
    async with checked_database(direct.url.get_secret_value(), limits) as database:
        yield database


@asynccontextmanager
async def checked_database(dsn: str, limits: PoolLimits) -> AsyncIterator[Database]:
    """Open one connection, and further ones only when they are needed.

    The limits remain those of the server, also for the sessions that wait for a standby.
    """
    database = await Database.open(dsn, replace(limits, pool_min=1))
    try:
        yield database
    finally:
        await database.close()


def pool_limits(settings: Settings) -> PoolLimits:
    """Return the limits of the pool."""
    return PoolLimits(
        settings.database.pool_min,
        settings.database.pool_max,
        settings.database.acquire_timeout_seconds,
        settings.database.query_timeout_seconds,
        settings.database.pooler,
    )


async def measured_clock(
    database: Database, wall: Callable[[], float] = time.time
) -> PostgresClock:
    """Return the clock of Postgres, compared with ``wall``, the clock of this host."""
    clock = PostgresClock(database, wall=wall)
    with database_advice():
        await clock.measure()
    return clock


def needed_connections(settings: Settings) -> NeededConnections:
    """Return how many connections the server processes of this machine may open directly."""
    processes = 0 if pool_limits(settings).shares_sessions else settings.server.processes
    return NeededConnections(settings.database.pool_max, processes)


async def warn_of_risks(settings: Settings, database: Database) -> None:
    """Log what risks data or commits in Postgres, a missing pooler, and few connections.

    Raises StartError if lookups would fail.
    """
    with database_advice():
        risks = await find_database_risks(settings, database)
        risks += await find_pooler_risks(database)
        shortage = await find_connection_risk(database, needed_connections(settings))
    for risk in [*risks, *([shortage] if shortage else [])]:
        logging.getLogger(SERVER).warning("%s", risk)


async def find_database_risks(settings: Settings, database: Database) -> list[str]:
    """Return what risks data or commits in Postgres; raises NotAcknowledged."""
    async with database.connection() as connection:
        return await find_risks(
            connection,
            acknowledged=settings.database.acknowledges_reads,
            late_seconds=settings.database.query_timeout_seconds,
        )


async def read_digests(database: Database) -> Digests:
    """Return the digests of email addresses and networks, with the key in the database."""
    with database_advice():
        async with database.connection() as connection:
            return Digests(await get_digest_key(connection))


def database_location(settings: Settings) -> str:
    """Return the directory or the hosts of the database, without user name and password."""
    database = settings.database
    if database.is_embedded:
        return str(database.embedded_dir)
    return describe(database.url.get_secret_value())
