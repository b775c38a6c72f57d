"""Checks that the pooler between us and Postgres is the one in the settings."""

from dataclasses import dataclass
from datetime import datetime

from db.errors import PoolerNotSupported, Unavailable, WrongPooler
from db.pool import Database
from settings.choices import Pooler

# Longer than any time limit for a connection.
_SECONDS = 60.0
# A process id can be used again; together with its start it names one session. A default may have
# set another role: only the one that connected sees the start.
# Only outside a transaction, whose role it would replace until the end.
SESSION = """
SET LOCAL ROLE NONE;
SELECT pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())
"""
_LOCATION = """
SELECT
    concat_ws(' as ', session_user, nullif(current_user, session_user)),
    current_database()::text,
    current_schema()::text,
    pg_postmaster_start_time()
"""


@dataclass(frozen=True, slots=True)
class Location:
    """The database that a connection leads to. Names alone may be the same in two clusters."""

    role: str
    database: str
    schema: str | None
    started_at: datetime

    def __str__(self) -> str:
        return f"role {self.role}, database {self.database}, schema {self.schema}"


async def check_pooler(database: Database) -> None:
    """Raise WrongPooler if the pooler is not the one in the settings.

    If the settings name none, each connection already checks that there is none.
    """
    match database.limits.pooler:
        case Pooler.SESSION:
            await _check_sessions(database)
        case Pooler.TRANSACTION:
            await _check_transactions(database)


async def get_location(database: Database) -> Location:
    """Return the database that a connection leads to; raises LookupError."""
    async with database.connection() as connection:
        row = await connection.fetch_one(_LOCATION)
    if row is None:
        raise LookupError("Postgres returned no location.")
    return Location(*row)


async def check_location(database: Database, direct: Location) -> None:
    """Raise WrongPooler if a pooler leads to another database than a direct connection."""
    pooled = await get_location(database)
    if pooled != direct:
        raise WrongPooler(
            "database.url and database.direct_url do not lead to the same Postgres, or not with the"
            f" same role and schema: one leads to {pooled}; the other to {direct}"
        )


async def find_pooler_risks(database: Database) -> list[str]:
    """Return a warning if the settings name a pooler, and there is none."""
    pooler = database.limits.pooler
    if pooler is Pooler.NONE:
        return []
    async with database.connection() as connection:
        row = await connection.fetch_one("SELECT pg_backend_pid()")
        is_direct = row is not None and row[0] == connection.protocol_pid
    if not is_direct:
        return []
    return [f'database.pooler is "{pooler}", and database.url leads to Postgres directly.']


async def _check_sessions(database: Database) -> None:
    """Raise PoolerNotSupported unless each connection has its own session of Postgres.

    A pooler in transaction mode gives a second connection the session that the first one leaves
    idle, or, if others use the pooler, gives the first one another session.
    """
    async with (
        database.connection() as first,
        database.dedicated_connection(_SECONDS) as second,
    ):
        before, other, after = [await each.fetch_one(SESSION) for each in (first, second, first)]
    if before == other or before != after:
        error = PoolerNotSupported("connections share sessions of Postgres")
        database.react(error)
        raise error


async def _check_transactions(database: Database) -> None:
    """Raise WrongPooler if a pooler allows no transactions."""
    try:
        async with database.transaction():
            pass
    except Unavailable as error:
        raise WrongPooler(
            f"the connection pooler ended a transaction: use its transaction mode: {error}"
        ) from error
