"""Relays, which send messages: an SMTP server, or a folder for development."""

from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage
from ipaddress import IPv4Address, ip_address
from typing import Protocol
from urllib.parse import urlsplit

from mail.folder_relay import FolderRelay
from mail.messages import Envelope
from mail.smtp_connection import Server, Timeouts
from mail.smtp_relay import SmtpRelay
from settings.mail_url import FolderUrl, SmtpUrl


class Relay(Protocol):
    """Sends messages, one at a time."""

    async def send(self, message: EmailMessage, recipient: str) -> None:
        """Send a message to an address; raise Temporary, Permanent or RelayFault."""

    async def close(self) -> None:
        """Close the connection, if one is open; the next message opens another."""


def make_relay(
    url: SmtpUrl | FolderUrl,
    envelope: Envelope,
    now: Callable[[], datetime],
    timeouts: Timeouts | None = None,
) -> Relay:
    """Return the relay that a URL names."""
    if isinstance(url, FolderUrl):
        return FolderRelay(url.path, now)
    server = Server(url, _host_name(envelope.links_origin), timeouts or Timeouts())
    return SmtpRelay(server, envelope.sender_address)


def _host_name(origin: str) -> str:
    """Return the host of an origin in the form for EHLO (RFC 5321, section 4.1.3)."""
    host = urlsplit(origin).hostname or "localhost"
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return f"[{address}]" if isinstance(address, IPv4Address) else f"[IPv6:{address}]"
