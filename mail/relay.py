"""What sends messages: an SMTP server, or a folder for development."""

from email.message import EmailMessage
from typing import Protocol


class Relay(Protocol):
    """Sends messages, one at a time."""

    async def send(self, message: EmailMessage, recipient: str) -> None:
        """Send a message to an address; raise Temporary, Permanent or RelayFault."""

    async def close(self) -> None:
        """Close the connection, if one is open; the next message opens another."""
