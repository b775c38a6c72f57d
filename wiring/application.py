"""The application: the services, and the other dependencies of handlers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from db.pool import Database
from handlers.application import Application, HttpPolicy
from mail.sender import Sender
from ops.line_limit import LineLimit
from ops.log_writer import LogWriter
from ops.metrics import Metrics
from ops.rare_warning import RareWarning
from ops.request_log import RequestEvents, RequestLog
from rules.errors import problem_types
from services.all_services import Services
from settings import Settings
from transport.client_address import ClientAddresses
from transport.cors import CrossOrigin
from transport.forward_auth import SignInRedirects
from wiring.database import measured_clock, open_database, warn_of_risks
from wiring.documents import static_documents
from wiring.logs import dumps, server_log
from wiring.mail import open_sender
from wiring.metrics import watch_application
from wiring.pages import page_routes
from wiring.program import version
from wiring.services import open_services
from wiring.tasks import periodic_tasks
from wiring.tracing import traced

_UNTRUSTED_PROXY = (
    "a peer that is not in server.trusted_proxies sends X-Forwarded-Proto: https; its requests"
    " are rejected (https-required)"
)


@asynccontextmanager
async def open_application(
    settings: Settings,
    keys: Sequence[str],
    dsn: str,
    clock: Callable[[], float] | None = None,
    *,
    wall: Callable[[], float] = time.time,
    log: LogWriter | None = None,
) -> AsyncIterator[Application]:
    """Build the application on a database with the schema in it, and close it after use.

    ``clock`` returns UTC seconds; by default, it is that of Postgres, and ``wall``, the clock of
    this host, is compared with it. Requests are logged to ``log``, by default on standard error.
    """
    metrics = _metrics(settings)
    opening = open_database(settings, dsn, metrics=metrics)
    async with opening as database, AsyncExitStack() as stack:
        await warn_of_risks(settings, database)
        postgres_clock = await measured_clock(database, wall)
        host_clock, clock = clock or wall, clock or postgres_clock
        working = _open_services(settings, keys, database, clock, metrics)
        services, sender = await stack.enter_async_context(working)
        tasks = periodic_tasks(settings, database, services, postgres_clock, clock)
        await stack.enter_async_context(tasks)
        log = log or stack.enter_context(server_log(settings))
        limit, request_log = stack.enter_context(_request_log(settings, log, host_clock))
        application = _build(settings, services, request_log, limit, metrics, sender=sender)
        if metrics is not None:
            watch_application(metrics, application, postgres_clock, log)
        yield application


@asynccontextmanager
async def _open_services(
    settings: Settings,
    keys: Sequence[str],
    database: Database,
    clock: Callable[[], float],
    metrics: Metrics | None,
) -> AsyncIterator[tuple[Services, Sender | None]]:
    """Build the services, and the sender that they wake; a failure of Postgres is now an outage."""
    database.log_outages()
    wake = asyncio.Event()
    async with (
        open_services(settings, keys, database, clock, metrics, wake=wake.set) as services,
        open_sender(
            settings, database, services.signer, clock, wake=wake, metrics=metrics
        ) as sender,
    ):
        yield services, sender


@contextmanager
def _request_log(
    settings: Settings, log: LogWriter, clock: Callable[[], float]
) -> Iterator[tuple[LineLimit, RequestEvents]]:
    limit = LineLimit()
    lines = RequestLog(log, clock, dumps, settings.logging.requests, limit)
    try:
        with traced(lines, clock) as request_log:
            yield limit, request_log
    finally:
        lines.flush()
        limit.end_period()


def _metrics(settings: Settings) -> Metrics | None:
    if not settings.metrics.port:
        return None
    return Metrics(version=version(), problems=(kind.name for kind in problem_types()))


def _build(
    settings: Settings,
    services: Services,
    request_log: RequestEvents,
    line_limit: LineLimit,
    metrics: Metrics | None,
    *,
    sender: Sender | None,
) -> Application:
    return Application(
        services=services,
        sender=sender,
        policy=HttpPolicy(
            addresses=ClientAddresses(settings.server.trusted_proxies),
            cross_origin=CrossOrigin(settings.cors.origins),
            sign_in_redirects=SignInRedirects(
                settings.server.public_url, has_pages=settings.serves_pages
            ),
            require_https=settings.server.require_https,
            untrusted_proxy=RareWarning(_UNTRUSTED_PROXY, time.monotonic),
            max_body_bytes=settings.limits.max_body_bytes,
        ),
        request_log=request_log,
        line_limit=line_limit,
        metrics=metrics,
        static_documents=static_documents(settings),
        pages=page_routes(settings),
    )
