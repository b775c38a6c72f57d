"""The lifecycle of the server: open, listen, serve, drain, stop."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from functools import partial

from handlers.application import Application
from ops.event_loop import EventLoop
from ops.free_files import FreeFilesMonitor
from ops.gc import freeze_gc
from ops.lag import LagMonitor
from ops.log_writer import LogWriter
from ops.systemd import Systemd
from postgres.data_directory import LOCK_SECONDS
from postgres.embedded import STOP_SECONDS, EmbeddedPostgres
from rules.counting import counted
from settings import Settings
from transport.certificate import Certificate
from transport.open_files import raise_limit
from transport.server import Server
from wiring.application import open_application
from wiring.database import dsn_of, open_embedded
from wiring.embedded_watch import watching
from wiring.listening import greeting, listen, listen_for_metrics
from wiring.logs import LAST_LINES_SECONDS
from wiring.reloading import reload
from wiring.secrets import read_certificate, signing_keys
from wiring.signals import Hangups, exit_on_stop_signals, reload_on_hangup, stop_event
from wiring.tasks import LAST_WRITE_SECONDS

# How long a stop takes, not counting the waits that have their own limits.
_OTHER_STOP_SECONDS = 10.0


def serve(settings: Settings, systemd: Systemd, log: LogWriter) -> None:
    """Serve until SIGTERM or SIGINT."""
    hangups = exit_on_stop_signals()
    keys = signing_keys(settings)
    certificate = read_certificate(settings)
    with (
        open_embedded(settings) as embedded,
        asyncio.Runner(loop_factory=EventLoop) as runner,
    ):
        runner.run(_serve(settings, systemd, keys, certificate, embedded, hangups=hangups, log=log))


async def _serve(
    settings: Settings,
    systemd: Systemd,
    keys: Sequence[str],
    certificate: Certificate | None,
    embedded: EmbeddedPostgres | None,
    *,
    hangups: Hangups,
    log: LogWriter,
) -> None:
    with stop_event() as stop:
        async with AsyncExitStack() as stack:
            opening = open_application(settings, keys, dsn_of(settings, embedded), log=log)
            application = await _enter_unless_stopped(stack, opening, stop)
            if application is None:
                return
            metrics_server = await listen_for_metrics(application.metrics, settings)
            if metrics_server is not None:
                stack.push_async_callback(metrics_server.close)
            raise_limit(settings.limits)
            server = Server(application, settings.limits, certificate)
            status = greeting(settings, await listen(server, settings, systemd.sockets))
            reload_on_hangup(partial(reload, application, certificate, systemd, status), hangups)
            await stack.enter_async_context(_monitoring(settings, application, embedded))
            freeze_gc()
            print(status, flush=True)
            systemd.ready(status)
            await stop.wait()
            await _drain(settings, systemd, application, server)


async def _enter_unless_stopped(
    stack: AsyncExitStack, opening: AbstractAsyncContextManager[Application], stop: asyncio.Event
) -> Application | None:
    """Open the application, or give up and return None once ``stop`` is set."""
    entering = asyncio.ensure_future(stack.enter_async_context(opening))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((entering, stopping), return_when=asyncio.FIRST_COMPLETED)
    if entering.done():
        stopping.cancel()
        return entering.result()
    entering.cancel()
    await asyncio.gather(entering, return_exceptions=True)
    return None


@asynccontextmanager
async def _monitoring(
    settings: Settings, application: Application, embedded: EmbeddedPostgres | None
) -> AsyncIterator[None]:
    """Log what delays or prevents responses, until the end of the block."""
    with closing(_monitor_lag(settings, application)), closing(FreeFilesMonitor(time.monotonic)):
        async with watching(embedded):
            yield


def _monitor_lag(settings: Settings, application: Application) -> LagMonitor:
    observe = application.metrics.observe_lag if application.metrics else None
    return LagMonitor(settings.server.lag_warning_seconds, observe)


async def _drain(
    settings: Settings, systemd: Systemd, application: Application, server: Server
) -> None:
    application.draining = True
    # Otherwise systemd would expect more keep-alive messages while Postgres is being stopped.
    systemd.close()
    systemd.stopping(
        f"userauth is stopping: {counted(application.running, 'request')} running",
        max_seconds=_max_stop_seconds(settings),
    )
    seconds = settings.server.drain_seconds
    sender = application.sender
    await asyncio.gather(
        server.drain(
            drain_delay_seconds=settings.server.drain_delay_seconds, drain_seconds=seconds
        ),
        *([sender.close(seconds)] if sender else []),
    )


def _max_stop_seconds(settings: Settings) -> float:
    drain = settings.server.drain_delay_seconds + settings.server.drain_seconds
    last = 2 * LAST_WRITE_SECONDS + LAST_LINES_SECONDS
    return drain + last + LOCK_SECONDS + STOP_SECONDS + _OTHER_STOP_SECONDS
