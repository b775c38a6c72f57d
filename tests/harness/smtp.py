"""A real SMTP server for tests: it collects messages, and fails at the step that a test names."""

import asyncio
import email
import socket
import ssl
import struct
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTPUTF8
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.harness.waiting import until

USER, PASSWORD = "userauth", "relay-password-0123456789"


class Step(StrEnum):
    """What the server does next: ``BODY`` is its reply to a whole message."""

    BANNER = "banner"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BODY = "body"
    RSET = "RSET"
    QUIT = "QUIT"


# What happens at a step, besides a reply such as "450 4.2.0 Later".
HANG = "hang"
DROP = "drop"
RESET = "reset"


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that the server accepted, or received before it dropped the connection."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    connection: int
    # In monotonic seconds.
    received_at: float

    @property
    def parsed(self) -> EmailMessage:
        """Return the message as a mail client reads it."""
        return email.message_from_bytes(self.content, policy=SMTPUTF8)

    @property
    def plain(self) -> str:
        """Return the plain text."""
        body = self.parsed.get_body(("plain",))
        assert isinstance(body, EmailMessage)
        return str(body.get_content()).replace("\r\n", "\n")


@dataclass(slots=True)
class Plan:
    """What the server offers, and what it does at some steps instead of its work.

    ``refused`` are recipients, with the reply to RCPT. No message is accepted before
    ``connections`` connections were made.
    """

    failures: dict[Step, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    connections: int = 0
    supports_utf8: bool = True


class SmtpServer:
    """An SMTP server in a thread of its own, on a port of an IP address that it keeps.

    With ``certificate``, a context with one, it offers STARTTLS, or is TLS from the start.
    """

    def __init__(
        self,
        certificate: ssl.SSLContext | None = None,
        *,
        is_tls_from_start: bool = False,
        address: str = "127.0.0.1",
    ) -> None:
        self._address = address
        self.plan = Plan()
        self.messages: list[ReceivedMessage] = []
        self.commands: list[str] = []
        self.connections = 0
        self.port = 0
        self._starttls = None if is_tls_from_start else certificate
        self._tls = certificate if is_tls_from_start else None
        self._thread: threading.Thread | None = None
        self._stop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before."""
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="smtp", daemon=True)
        self._thread.start()
        started.result(timeout=10)

    def reset(self) -> None:
        """Accept everything, and forget what arrived."""
        self.plan = Plan()
        self.messages.clear()
        self.commands.clear()
        self.connections = 0

    def stop(self) -> None:
        """Close the socket and all connections; from now on, connections are refused."""
        if self._thread is not None and self._stop is not None:
            loop, event = self._stop
            loop.call_soon_threadsafe(event.set)
            self._thread.join(timeout=10)
            self._thread = None

    def url(self, scheme: str = "smtp", *, user: str = "", password: str = "") -> str:
        """Return the URL of the server for the settings."""
        credentials = f"{user}:{password}@" if user else ""
        return f"{scheme}://{credentials}127.0.0.1:{self.port}"

    def _run(self, started: "Future[None]") -> None:
        # Not the loop of tests, uvloop: aiosmtpd's STARTTLS needs that of asyncio.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._serve(started))

    async def _serve(self, started: "Future[None]") -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        sessions: list[_Connection] = []

        def connect() -> _Connection:
            self.connections += 1
            sessions.append(_Connection(self, self.connections, self._starttls))
            return sessions[-1]

        server = await loop.create_server(connect, self._address, self.port, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._stop = loop, stop
        started.set_result(None)
        await stop.wait()
        server.close()
        for session in sessions:
            session.disconnect()
        await asyncio.sleep(0)


class _Connection(SMTP):
    """One connection to the server."""

    def __init__(self, server: SmtpServer, number: int, starttls: ssl.SSLContext | None) -> None:
        self._server = server
        self._number = number
        self._has_greeted = False
        super().__init__(
            self,
            hostname="localhost",
            enable_SMTPUTF8=server.plan.supports_utf8,
            tls_context=starttls,
            auth_require_tls=False,
            authenticator=_authenticate,
            loop=asyncio.get_running_loop(),
        )

    def disconnect(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            # Closed twice, a TLS transport of Python 3.11 has nothing left to abort, and fails.
            with suppress(AttributeError):
                self.transport.abort()

    async def push(self, status: Any) -> None:
        if not self._has_greeted:
            self._has_greeted = True
            if await self._fails(Step.BANNER):
                return
        await super().push(status)

    async def smtp_EHLO(self, hostname: str) -> None:
        if not await self._fails(Step.EHLO):
            await super().smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:
        if not await self._fails(Step.STARTTLS):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:
        if not await self._fails(Step.AUTH):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:
        if not await self._fails(Step.MAIL):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:
        if not await self._fails(Step.RCPT):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:
        if not await self._fails(Step.DATA):
            await super().smtp_DATA(arg)

    async def smtp_RSET(self, arg: str) -> None:
        if not await self._fails(Step.RSET):
            await super().smtp_RSET(arg)

    async def smtp_QUIT(self, arg: str) -> None:
        if not await self._fails(Step.QUIT):
            await super().smtp_QUIT(arg)

    async def handle_RCPT(
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = self._server.plan.refused.get(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return refusal or "250 OK"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        await until(lambda: self._server.connections >= self._server.plan.connections)
        message = ReceivedMessage(
            envelope.mail_from or "",
            tuple(envelope.rcpt_tos),
            envelope.content,
            self._number,
            time.monotonic(),
        )
        failure = self._server.plan.failures.get(Step.BODY)
        if failure is None or failure == DROP:
            self._server.messages.append(message)
        if failure in {HANG, DROP}:
            await self._fails(Step.BODY)
        return failure or "250 OK"

    async def _fails(self, step: Step) -> bool:
        """Do what the plan has for a step; return whether it has something."""
        self._server.commands.append(step)
        failure = self._server.plan.failures.get(step)
        if failure == RESET and self.transport is not None:
            # Closed in this way, it sends a reset.
            raw = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if failure in {DROP, RESET}:
            self.disconnect()
        if failure in {HANG, DROP, RESET}:
            await asyncio.Event().wait()  # until the connection is lost, which cancels this task
        if failure is not None:
            await super().push(failure)
        return failure is not None


def _authenticate(
    _: SMTP, __: Session, ___: Envelope, ____: str, given: LoginPassword
) -> AuthResult:
    is_right = given == LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)
