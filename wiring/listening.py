"""The sockets of the server: one for callers, and one for Prometheus."""

import errno
import socket
from collections.abc import Sequence

from handlers.metrics import MetricsServer
from ops.metrics import Metrics
from settings import Settings
from settings.local_origin import local_origin, shown_host
from transport.server import Server
from wiring.database import database_location
from wiring.errors import StartError
from wiring.mail import mail_location


async def listen(
    server: Server, settings: Settings, inherited: Sequence[socket.socket]
) -> tuple[str, int]:
    """Listen at the inherited sockets, or as the settings specify; return host and port."""
    if inherited:
        await server.listen_at(inherited)
        name = inherited[0].getsockname()
        return name[0], name[1]
    host, port = settings.server.host, _port(settings)
    try:
        return host, await server.listen(host, port, reuse_port=settings.server.reuse_port)
    except (OSError, UnicodeError) as error:
        remedy = _remedy(error, "HOST or PORT")
        if share_a_port(settings):  # the one for Prometheus listens already
            remedy = "metrics.port is the same port: set another one."
        raise StartError(_failure(host, port, error, remedy)) from error


def _port(settings: Settings) -> int:
    server = settings.server
    return server.port if server.reuse_port else server.own_port(server.port)


async def listen_for_metrics(metrics: Metrics | None, settings: Settings) -> MetricsServer | None:
    """Listen for Prometheus if the settings enable it."""
    if metrics is None:
        return None
    host, port = settings.metrics.host, settings.server.own_port(settings.metrics.port)
    server = MetricsServer(metrics)
    try:
        await server.listen(host, port)
    except (OSError, UnicodeError) as error:
        remedy = _remedy(error, "metrics.host or metrics.port")
        raise StartError(_failure(host, port, error, remedy)) from error
    return server


def share_a_port(settings: Settings) -> bool:
    """Return whether the settings name one port of one host for callers and for Prometheus."""
    port, metrics = _port(settings), settings.metrics
    is_same = port == settings.server.own_port(metrics.port) != 0
    return is_same and settings.server.host == metrics.host


def _remedy(error: OSError | UnicodeError, settable: str) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"Stop the process that uses it, or set {settable}."
    return f"Set {settable}."


def _failure(host: str, port: int, error: OSError | UnicodeError, remedy: str) -> str:
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    return f"cannot listen on {shown_host(host)}:{port}: {reason}. {remedy}"


def greeting(settings: Settings, address: tuple[str, int]) -> str:
    """Return the line that announces the server."""
    host, port = address
    scheme = "http" if settings.server.certificate is None else "https"
    pages, messages = _pages_origin(settings, port), mail_location(settings)
    return (
        f"userauth ({settings.profile}) listens on {scheme}://{shown_host(host)}:{port},"
        + (f" pages at {pages}/auth/," if pages else "")
        + f" data in {database_location(settings)},"
        + (f" messages to users in {messages}," if messages else "")
        + f" tokens valid for {settings.tokens.lifetime_seconds} s"
    )


def _pages_origin(settings: Settings, port: int) -> str:
    """Return the origin of the pages for a person, or an empty text if none are served."""
    if not settings.serves_pages:
        return ""
    return settings.server.public_url or local_origin(settings.server, port)
