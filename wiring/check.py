"""What ``server.py --check`` checks: the settings, and the files and database that they name."""

import asyncio
from dataclasses import replace

from db.durability import find_risks
from db.errors import (
    ConnectionRejected,
    DatabaseError,
    PoolerNotSupported,
    ReadOnly,
    SchemaError,
    Unavailable,
)
from db.pool import Database
from db.pooler import check_sessions
from db.schema import check_schema
from ops.event_loop import EventLoop
from settings import Profile, Settings
from wiring.database import pool_limits
from wiring.documents import static_documents
from wiring.errors import StartError, advice
from wiring.pages import page_routes
from wiring.secrets import read_certificate, signing_keys
from wiring.tracing import find_tracing


def check(settings: Settings) -> str:
    """Check what the settings name, and return a report for the administrator.

    Raises CertificateError, StartError if packages of OpenTelemetry are missing, or a file of the
    pages or the database could not be used, and in production, where no keys file is created,
    KeysFileError. A database that does not answer is not an error; the embedded one is not started.
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
    """Return the warnings about a database, which this does not change."""
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        try:
            return [f"Warning: {risk}" for risk in runner.run(_examine(settings))]
        except (ReadOnly, SchemaError, PoolerNotSupported) as error:
            raise StartError(advice(error)) from error
        except ConnectionRejected as error:
            return [f"The database was not checked: it rejected the connection ({error})."]
        except Unavailable as error:
            return [f"The database was not checked: it does not respond ({error})."]
        except DatabaseError as error:
            raise StartError(advice(error)) from error


async def _examine(settings: Settings) -> list[str]:
    limits = replace(pool_limits(settings), pool_min=1, pool_max=1)
    database = await Database.open(settings.database.url.get_secret_value(), limits)
    try:
        await check_sessions(database)
        await check_schema(database)
        async with database.connection() as connection:
            return await find_risks(connection)
    finally:
        await database.close()
