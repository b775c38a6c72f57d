"""The dependencies of commands: the settings, and the services or the whole database."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TypeVar

from commands.actor import find_actor
from ops.event_loop import EventLoop
from postgres.plain_connection import postgres_time
from rules.origin import LocalOrigin
from services.all_services import AdministrationServices
from services.backups import Backups
from services.database_check import DatabaseReport, NeededConnections, check_database
from settings import Settings, load_settings
from wiring.administration import open_administration
from wiring.check import check
from wiring.database import (
    checked_database,
    database_location,
    measured_clock,
    needed_connections,
    open_database,
    open_postgres,
    pool_limits,
)
from wiring.errors import StartError, database_advice
from wiring.mail import send_test_message
from wiring.program import SETTINGS_FILE, read_schema

Result = TypeVar("Result")

# A command may read every row.
_QUERY_SECONDS = 600.0


class LocalAdministrator:
    """Loads the settings, and opens the services on the server's database, on demand."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @cached_property
    def settings(self) -> Settings:
        """Return the server's settings, except the time limit of a query.

        The keys may be missing: few commands need them, and the service that makes backups cannot
        read them.
        """
        settings = load_settings(self._environ, SETTINGS_FILE, needs_keys=False)
        database = settings.database.model_copy(update={"query_timeout_seconds": _QUERY_SECONDS})
        return settings.model_copy(update={"database": database})

    @cached_property
    def _direct(self) -> Settings:
        """Return the settings of commands that use the database: they avoid a pooler."""
        settings = self.settings
        return settings.model_copy(update={"database": settings.database.direct})

    def check(self) -> str:
        """Check the settings as the server does, and return a report."""
        return check(load_settings(self._environ, SETTINGS_FILE))

    def check_database(self) -> DatabaseReport:
        """Check the database without changing it; start the embedded one if it exists."""
        settings = self._direct
        if settings.database.is_embedded and not settings.database.embedded_dir.exists():
            raise StartError(
                f"no database in {self.location}: the server creates it when it first starts."
            )
        with open_postgres(settings) as dsn, asyncio.Runner(loop_factory=EventLoop) as runner:
            return runner.run(_check_database(settings, dsn, needed_connections(self.settings)))

    def send_test_message(self, address: str) -> str:
        """Send a message through the relay; return the location of the relay. Raises MailError."""
        with asyncio.Runner() as runner:
            return runner.run(send_test_message(self.settings, address))

    @property
    def location(self) -> str:
        """Return the location of the database, without a password."""
        return database_location(self._direct)

    @property
    def origin(self) -> LocalOrigin:
        """Return the origin of the actions of commands, for the audit trail."""
        return LocalOrigin(find_actor(self._environ))

    @contextmanager
    def backups(self) -> Iterator[Backups]:
        """Yield access to the whole database, with any version of the schema."""
        # The environment must not redirect libpq from the embedded Postgres to another one.
        environ = {} if self._direct.database.is_embedded else self._environ
        with open_postgres(self._direct) as dsn:
            yield Backups(
                dsn,
                environ=environ,
                schema=read_schema(),
                clock=partial(postgres_time, dsn),
                origin=self.origin,
            )

    def run(self, work: Callable[[AdministrationServices], Awaitable[Result]]) -> Result:
        """Open the services, do some work with them, and close them."""
        with open_postgres(self._direct) as dsn, asyncio.Runner(loop_factory=EventLoop) as runner:
            return runner.run(self._run(dsn, work))

    async def _run(
        self, dsn: str, work: Callable[[AdministrationServices], Awaitable[Result]]
    ) -> Result:
        settings = self._direct
        # A server may be using the schema: only servers migrate it.
        async with (
            open_database(settings, dsn, may_migrate=False) as database,
            open_administration(
                settings, database, await measured_clock(database), self.origin
            ) as services,
        ):
            return await work(services)


async def _check_database(
    settings: Settings, dsn: str, needed: NeededConnections
) -> DatabaseReport:
    acknowledged = settings.database.acknowledges_reads
    with database_advice():
        async with checked_database(dsn, pool_limits(settings)) as database:
            return await check_database(database, needed, acknowledged=acknowledged)
