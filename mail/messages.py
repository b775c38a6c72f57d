"""Messages to users, made of the templates."""

from dataclasses import dataclass
from email.message import EmailMessage

from db.rows import ClaimedMessage
from rules.mail_secrets import MailSecrets
from settings import Settings


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all messages have in common: the sender, the reply address, and the origin of links."""

    sender: str
    reply_to: str
    links_origin: str

    @property
    def domain(self) -> str:
        """Return the domain of each Message-ID: that of the sender."""
        raise NotImplementedError


def make_envelope(settings: Settings) -> Envelope:
    """Return the envelope that the settings describe."""
    mail = settings.mail
    return Envelope(mail.sender, mail.reply_to, settings.links_origin)


def render(
    message: ClaimedMessage, secrets: MailSecrets | None, envelope: Envelope
) -> EmailMessage:
    """Return a message as it is sent; raise MessageError if that is not possible."""
    raise NotImplementedError
