"""Opens a connection to an SMTP server, with the encryption and credentials of its URL."""

import asyncio
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from aiosmtplib import (
    SMTP,
    SMTPConnectError,
    SMTPException,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from mail.errors import RelayFault
from mail.smtp_replies import Step, describe
from mail.smtp_socket import connect, reason_of
from ops.host_names import HostNames
from settings.mail_url import Security, SmtpUrl

# What surrounds the reason in an error of ssl.
_PLACE_IN_SSL = re.compile(r"^\[[A-Z0-9_: ]+\] | \(_ssl\.c:\d+\)$")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How many seconds each part may take.

    ``opening`` and ``transaction`` limit all commands for a message; together they are shorter than
    its lease.
    """

    connect: float = 10
    command: float = 30
    opening: float = 40
    transaction: float = 60
    idle: float = 30


@dataclass(frozen=True, slots=True)
class Server:
    """An SMTP server, and how to connect to it.

    ``hostname`` is the name of this host in EHLO. Certificates are verified with ``tls``, by
    default with the system's certificate authorities. ``names`` resolves the host.
    """

    url: SmtpUrl
    hostname: str
    timeouts: Timeouts = Timeouts()
    tls: ssl.SSLContext | None = None
    names: HostNames = field(default_factory=HostNames)


async def open_connection(server: Server) -> SMTP:
    """Return a connection that is ready for MAIL; raise RelayFault."""
    client = SMTP(
        # A certificate has an address without its zone.
        hostname=server.url.host.partition("%")[0],
        local_hostname=server.hostname,
        timeout=server.timeouts.command,
        use_tls=server.url.security is Security.TLS,
        start_tls=False,  # by default, it would encrypt if possible
        tls_context=server.tls,
    )
    try:
        async with asyncio.timeout(server.timeouts.opening):
            await _open(client, server)
    except TimeoutError:
        discard(client)
        reason = f"not ready in {server.timeouts.opening} seconds"
        raise RelayFault(describe(Step.CONNECTION, reason, _place(server.url))) from None
    except BaseException:
        discard(client)
        raise
    return client


def discard(client: SMTP) -> None:
    """Close a connection at once: over TLS, its close() waits for the server."""
    transport = cast(asyncio.WriteTransport | None, client.transport)
    client.close()
    if transport is not None:
        transport.abort()


def failure_reason(error: BaseException) -> str:
    """Return the reason of an error, without the place as aiosmtplib knows it: on port None."""
    if isinstance(error, SMTPConnectError | SMTPServerDisconnected) and error.__cause__ is not None:
        return failure_reason(error.__cause__)
    if isinstance(error, ssl.SSLError):
        return _PLACE_IN_SSL.sub("", str(error))
    if isinstance(error, OSError):
        return reason_of(error)
    return str(error) or type(error).__name__


async def _open(client: SMTP, server: Server) -> None:
    url = server.url
    with _faults_at(Step.CONNECTION, _place(url)):
        connected = await connect(url, server.names, server.timeouts.connect)
        try:
            await client.connect(sock=connected, timeout=server.timeouts.connect)
        except BaseException:
            # Nothing else closes it until a transport has it.
            connected.close()
            raise
    with _faults_at(Step.EHLO):
        await client.ehlo()
    if url.security is Security.STARTTLS:
        with _faults_at(Step.STARTTLS):
            await client.starttls()
            await client.ehlo()
    if url.user:
        with _faults_at(Step.AUTH):
            await client.login(url.user, url.password)


def _place(url: SmtpUrl) -> str:
    return f"{url.host} port {url.port}"


@contextmanager
def _faults_at(step: Step, place: str = "") -> Iterator[None]:
    try:
        yield
    except SMTPResponseException as error:
        reason = f"{error.code} {error.message}"
    except (SMTPException, OSError, ValueError) as error:
        reason = failure_reason(error)
    else:
        return
    raise RelayFault(describe(step, reason, place)) from None
