"""The check of a database: whether the server can use it, and what the administrator should fix."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from db.clock import MAX_OFFSET_SECONDS, PostgresClock
from db.durability import find_risks
from db.lookups import Lookups
from db.pool import Database
from db.pooler import check_pooler
from db.schema import check_schema, find_version
from db.schema_version import VERSION
from db.server_state import ServerStateRow, get_server_state

# A server opens these in addition to the pool: one for each lookup, and one for housekeeping.
_CONNECTIONS_OUTSIDE_POOL = len(fields(Lookups)) + 1


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """The state of a database, with its problems.

    ``schema_version`` is None if the server has not created its tables yet. ``clock_offset`` is
    how many seconds the clock of this host is ahead of that of Postgres. ``errors`` prevent the
    server from running, ``warnings`` do not.
    """

    state: ServerStateRow
    schema_version: int | None
    clock_offset: float
    errors: Sequence[str]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class NeededConnections:
    """How many connections the server processes of this machine may open."""

    pool_max: int
    processes: int

    @property
    def each(self) -> int:
        """Return how many one process may open."""
        return self.pool_max + _CONNECTIONS_OUTSIDE_POOL

    def warning(self, usable: int) -> str | None:
        """Return a warning if Postgres allows fewer; None if it allows enough.

        Not an error: few servers ever need all of their connections at the same time.
        """
        needed = self.processes * self.each
        if needed <= usable:
            return None
        all_of_them = (
            f", the {self.processes} processes of this machine {needed}"
            if self.processes > 1
            else ""
        )
        return (
            f"A server opens up to {self.each} connections (database.pool_max +"
            f" {_CONNECTIONS_OUTSIDE_POOL}){all_of_them}, and Postgres allows its role"
            f" {usable}: lower database.pool_max, or raise max_connections or the limit of the role"
            " or the database."
        )


async def find_connection_risk(database: Database, needed: NeededConnections) -> str | None:
    """Return a warning if Postgres allows fewer connections than this machine may open."""
    async with database.connection() as connection:
        return needed.warning((await get_server_state(connection)).usable_connections)


async def check_database(
    database: Database, needed: NeededConnections, *, acknowledged: bool
) -> DatabaseReport:
    """Check a database without changing it; with ``acknowledged``, lookups must be acknowledged.

    Raises SchemaError, WrongPooler or NotAcknowledged if the server would not start on it, or
    another DatabaseError.
    """
    await check_pooler(database)
    await check_schema(database)
    clock = PostgresClock(database)
    await clock.measure()
    async with database.connection() as connection:
        version = await find_version(connection)
        state = await get_server_state(connection)
        risks = await find_risks(
            connection,
            acknowledged=acknowledged,
            late_seconds=database.limits.query_timeout_seconds,
        )
    return DatabaseReport(
        state=state,
        schema_version=version,
        clock_offset=clock.offset,
        errors=[*_errors(state, version)],
        warnings=[*risks, *_warnings(state, version, clock.offset, needed)],
    )


def _errors(state: ServerStateRow, version: int | None) -> Iterator[str]:
    if state.missing_privileges:
        missing = ", ".join(state.missing_privileges)
        yield f"The role {state.role} lacks {missing}: make it the owner of the tables."
    if not state.may_create and (version is None or version < VERSION):
        yield (
            f"The role {state.role} may not create tables in the schema {state.schema}: grant USAGE"
            " and CREATE on it, or give the server a schema of its own."
        )


def _warnings(
    state: ServerStateRow, version: int | None, clock_offset: float, needed: NeededConnections
) -> Iterator[str]:
    if state.superuser is not None:
        yield f"The role {state.superuser} is a superuser: use one without special rights."
    if version is None:
        yield "The tables do not exist: the server creates them when it starts."
    elif version < VERSION:
        yield f"The server migrates the schema to version {VERSION} when it starts: back up first."
    elif version > VERSION:
        yield f"The schema is of a newer server, and this one has version {VERSION}: upgrade it."
    if abs(clock_offset) > MAX_OFFSET_SECONDS:
        yield (
            f"The clock of this host differs by {clock_offset:+.1f} s from that of Postgres, which"
            " the server uses: synchronize both with NTP."
        )
    if warning := needed.warning(state.usable_connections):
        yield warning
