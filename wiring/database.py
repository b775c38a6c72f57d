"""The database: start the embedded Postgres, connect, apply the schema, disconnect."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from db.clock import PostgresClock
from db.connecting import PoolLimits
from db.dsn import describe
from db.durability import find_risks
from db.events import get_digest_key
from db.pool import Database
from db.pooler import check_sessions
from db.schema import apply_schema
from ops.logs import SERVER
from ops.metrics import Metrics
from postgres.embedded import EmbeddedPostgres
from rules.digests import Digests
from settings import Settings
from settings.choices import Reads
from wiring.errors import database_advice
from wiring.program import read_schema


@contextmanager
def open_postgres(settings: Settings) -> Iterator[str]:
    """Yield the DSN of Postgres, having started the embedded one if the settings name none."""
    if not settings.database.is_embedded:
        yield settings.database.url.get_secret_value()
        return
    embedded = EmbeddedPostgres.start(settings.database.embedded_dir)
    try:
        yield embedded.dsn
    finally:
        embedded.stop()


@asynccontextmanager
async def open_database(
    settings: Settings, dsn: str, *, may_migrate: bool = True, metrics: Metrics | None = None
) -> AsyncIterator[Database]:
    """Connect to the database, apply the schema, and disconnect after use."""
    with database_advice():
        observe = metrics.observe_connection_wait if metrics else None
        database = await Database.open(dsn, pool_limits(settings), observe)
    try:
        with database_advice():
            await check_sessions(database)
            await apply_schema(database, read_schema(), may_migrate=may_migrate)
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
    )


async def measured_clock(
    database: Database, wall: Callable[[], float] = time.time
) -> PostgresClock:
    """Return the clock of Postgres, compared with ``wall``, the clock of this host."""
    clock = PostgresClock(database, wall=wall)
    with database_advice():
        await clock.measure()
    return clock


async def warn_of_risks(database: Database, reads: Reads) -> None:
    """Log the settings of Postgres that can lose data; raises StartError if lookups would fail."""
    with database_advice():
        async with database.connection() as connection:
            risks = await find_risks(connection, acknowledged=reads is Reads.ACKNOWLEDGED)
    for risk in risks:
        logging.getLogger(SERVER).warning("%s", risk)


async def read_digests(database: Database) -> Digests:
    """Return what digests addresses, with the key that the database holds."""
    with database_advice():
        async with database.connection() as connection:
            return Digests(await get_digest_key(connection))


def database_location(settings: Settings) -> str:
    """Return the directory or the address of the database, without user name and password."""
    database = settings.database
    if database.is_embedded:
        return str(database.embedded_dir)
    return describe(database.url.get_secret_value())
