"""The recognition of a connection pooler that shares the sessions of Postgres."""

from db.connection import Connection
from db.pool import Database
from db.rows import Row

# Longer than any limit of connecting.
_SECONDS = 60.0
# A process id can be used again; together with its start it names one session.
_SESSION = "SELECT pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())"


async def check_sessions(database: Database) -> None:
    """Raise PoolerNotSupported unless each connection has a session of Postgres to itself.

    A pooler in transaction mode gives a second connection the session that the first one leaves
    idle, or, if others use the pooler, gives the first one another session.
    """
    async with (
        database.connection() as first,
        database.dedicated_connection(_SECONDS) as second,
    ):
        before, other, after = [await _session(each) for each in (first, second, first)]
    if before == other or before != after:
        database.reject_pooler("connections share sessions of Postgres")


async def _session(connection: Connection) -> Row | None:
    return await connection.fetch_one(_SESSION)
