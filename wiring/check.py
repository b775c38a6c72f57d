"""The check of ``server.py --check``: the settings, and the files and database that they name."""

import asyncio

from db.pooler import Location, check_location, check_pooler, find_pooler_risks, get_location
from db.schema import check_schema
from ops.event_loop import EventLoop
from settings import Profile, Settings
from wiring.database import checked_database, direct_database, find_database_risks, pool_limits
from wiring.documents import static_documents
from wiring.errors import database_advice
from wiring.pages import page_routes
from wiring.secrets import read_certificate, signing_keys
from wiring.tracing import find_tracing


def check(settings: Settings) -> str:
    """Check the files and the database in the settings; return a report for the administrator.

    Raises CertificateError; StartError if packages of OpenTelemetry are missing, or a file of the
    pages or the database cannot be used; and in production, where no keys file is created,
    KeysFileError. The embedded database is not started.
    """
    read_certificate(settings)
    if settings.profile is Profile.PRODUCTION:
        signing_keys(settings)
    find_tracing()
    static_documents(settings)
    page_routes(settings)
    risks = [] if settings.database.is_embedded else _find_risks(settings)
    return "\n".join([f"The settings are valid ({settings.profile}).", *risks])


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
