"""The check of ``server.py --check``: the settings, and the files and database that they name."""

import asyncio
from collections.abc import Iterator

from db.pooler import Location, check_location, check_pooler, find_pooler_risks, get_location
from db.schema import check_schema
from ops.event_loop import EventLoop
from postgres.embedded import check_directory
from settings import Settings
from wiring.database import checked_database, direct_database, find_database_risks, pool_limits
from wiring.documents import static_documents
from wiring.errors import database_advice
from wiring.listening import share_a_port
from wiring.pages import page_routes
from wiring.secrets import check_signing_keys, read_certificate
from wiring.tracing import find_tracing


def check(settings: Settings) -> str:
    """Check the files and the database in the settings; return a report for the administrator.

    Raises CertificateError, KeysFileError and EmbeddedPostgresError; StartError if packages of
    OpenTelemetry are missing, or a file of the pages or the database cannot be used. Nothing is
    created, and the embedded database is not started.
    """
    read_certificate(settings)
    check_signing_keys(settings)
    find_tracing()
    static_documents(settings)
    page_routes(settings)
    risks = [*_find_port_conflict(settings)]
    if settings.database.is_embedded:
        check_directory(settings.database.embedded_dir)
    else:
        risks += _find_risks(settings)
    return "\n".join([f"The settings are valid ({settings.profile}).", *risks])


def _find_port_conflict(settings: Settings) -> Iterator[str]:
    """Yield a warning if the two listeners have one port; systemd may pass the socket of one."""
    if share_a_port(settings):
        yield (
            "Warning: metrics.port is the port of the server, which cannot start unless systemd"
            " passes its socket: set another one"
        )


def _find_risks(settings: Settings) -> list[str]:
    """Return the warnings about a database, without changing it."""
    with database_advice(), asyncio.Runner(loop_factory=EventLoop) as runner:
        return [f"Warning: {risk}" for risk in runner.run(_examine(settings))]


async def _examine(settings: Settings) -> list[str]:
    async with direct_database(settings) as direct:
        await check_pooler(direct)
        await check_schema(direct)
        risks = await find_database_risks(settings, direct)
        if not settings.database.direct_url:
            return [*risks, *await find_pooler_risks(direct)]
        location = await get_location(direct)
    return [*risks, *await _examine_pooler(settings, location)]


async def _examine_pooler(settings: Settings, location: Location) -> list[str]:
    dsn = settings.database.url.get_secret_value()
    async with checked_database(dsn, pool_limits(settings)) as database:
        await check_pooler(database)
        await check_location(database, location)
        return await find_pooler_risks(database)
