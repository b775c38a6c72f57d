"""The test message, with which an administrator checks that the relay works."""

import uuid
from datetime import datetime
from email.message import EmailMessage

from mail.errors import MessageError
from mail.messages import Envelope, new_message
from mail.relay import Relay

_KIND = "test"
_TEXT = """\
This is a test message from the user-authentication server at {origin}.

If it is not in the spam folder, other messages will probably arrive, too.
"""


async def send_trial(relay: Relay, envelope: Envelope, recipient: str, at: datetime) -> None:
    """Send a test message to an address; raise MailError."""
    try:
        await relay.send(_render(envelope, recipient, at), recipient)
    finally:
        await relay.close()


def _render(envelope: Envelope, recipient: str, at: datetime) -> EmailMessage:
    try:
        message = new_message(
            envelope,
            recipient,
            subject=f"Test message from {envelope.links_origin}",
            at=at,
            message_id=str(uuid.uuid4()),
            kind=_KIND,
        )
        message.set_content(_TEXT.format(origin=envelope.links_origin))
        message.as_bytes()
    except (ValueError, LookupError) as error:
        raise MessageError(f"the message cannot be rendered: {error}") from error
    return message
