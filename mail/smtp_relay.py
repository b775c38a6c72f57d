"""Sends messages to an SMTP server."""

import asyncio
from contextlib import suppress
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import parseaddr

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from mail.errors import MailError, Permanent, Temporary
from mail.smtp_connection import Server, discard, failure_reason, open_connection
from mail.smtp_replies import Step, describe, error_of
from rules.emails import with_ascii_domain

_UTF8 = "SMTPUTF8"


class SmtpRelay:
    """An SMTP server. A connection is used for several messages, and closed when idle."""

    def __init__(self, server: Server, sender: str) -> None:
        """Send to a server, from an address."""
        self._server = server
        self._sender = with_ascii_domain(sender)
        self._turn = asyncio.Lock()
        self._client: SMTP | None = None
        self._idle: asyncio.Task[None] | None = None
        self._has_sent = False

    async def send(self, message: EmailMessage, recipient: str) -> None:
        """Send a message to an address; raise Temporary, Permanent or RelayFault."""
        address, content = _encoded(message, recipient)
        self._stop_waiting()
        async with self._turn:
            client = await self._connect()
            refusal = await self._transact(client, address, content)
            if client.is_connected:
                self._client = client
                self._idle = asyncio.create_task(self._quit_when_idle())
        if refusal is not None:
            raise refusal

    async def close(self) -> None:
        """Close the connection, if one is open; the next message opens another."""
        self._stop_waiting()
        await self._quit()

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    async def _quit_when_idle(self) -> None:
        await asyncio.sleep(self._server.timeouts.idle)
        await self._quit()

    async def _quit(self) -> None:
        async with self._turn:
            client, self._client = self._client, None
            if client is not None:
                try:
                    with suppress(SMTPException, OSError):
                        await client.execute_command(b"QUIT", timeout=self._server.timeouts.connect)
                finally:
                    discard(client)

    async def _connect(self) -> SMTP:
        """Return the open connection if it still works, or a new one; raise RelayFault."""
        client, self._client = self._client, None
        if client is not None:
            if await self._is_ready(client):
                return client
            discard(client)
        return await open_connection(self._server)

    async def _is_ready(self, client: SMTP) -> bool:
        """End a transaction that was rejected half-way; return whether the connection works."""
        try:
            await client.rset(timeout=self._server.timeouts.connect)
        except (SMTPException, OSError):
            return False
        except BaseException:
            discard(client)
            raise
        return True

    async def _transact(self, client: SMTP, address: str, content: bytes) -> MailError | None:
        """Send a message on a connection; return the error of a rejection, raise others.

        After a rejection, the connection can be used again.
        """
        limit = self._server.timeouts.transaction
        try:
            async with asyncio.timeout(limit):
                return await self._command(client, address, content)
        except TimeoutError:
            discard(client)
            raise Temporary(f"not sent in {limit} seconds") from None
        except BaseException:
            discard(client)
            raise

    async def _command(self, client: SMTP, address: str, content: bytes) -> MailError | None:
        needs_utf8 = not (self._sender + address).isascii()
        if needs_utf8 and not client.supports_extension(_UTF8):
            return Permanent(f"the server does not support {_UTF8}, which the address needs")
        options, encoding = ([_UTF8], "utf-8") if needs_utf8 else ([], "ascii")
        step = Step.MAIL
        try:
            await client.mail(self._sender, options=options, encoding=encoding)
            step = Step.RCPT
            await client.rcpt(address, encoding=encoding)
            step = Step.DATA
            await client.data(content)
        except SMTPResponseException as error:
            return error_of(
                step,
                error.code,
                error.message,
                has_sent=self._has_sent,
                needs_utf8=needs_utf8,
            )
        except (SMTPException, OSError) as error:
            raise Temporary(describe(step, failure_reason(error))) from None
        except ValueError:
            return Permanent(f"{step}: the address cannot be part of a command")
        self._has_sent = True
        return None


def _encoded(message: EmailMessage, recipient: str) -> tuple[str, bytes]:
    """Return the address and the message as SMTP transfers them; raise Permanent."""
    try:
        address, content = with_ascii_domain(recipient), message.as_bytes()
    except (ValueError, LookupError, MessageError) as error:
        raise Permanent(f"the message cannot be encoded: {type(error).__name__}") from None
    # aiosmtplib would send to the address that it finds in the text.
    if parseaddr(address)[1] != address:
        raise Permanent("the address cannot be part of a command")
    return address, content
