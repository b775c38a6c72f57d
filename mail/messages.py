"""Messages to users, as they are sent."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import urlsplit

from db.message_rows import ClaimedMessage
from mail import texts
from mail.errors import MessageError
from rules.emails import with_ascii_domain
from rules.mail_secrets import CODE_DIGITS, MailSecrets, link_with
from rules.message_kinds import MessageKind
from settings import Settings
from settings.choices import Language

# RFC 2045 allows 76 characters in a line of quoted-printable text, two less than RFC 5322.
_POLICY = SMTP.clone(max_line_length=76)
_ENCODING = "quoted-printable"
KIND_FIELD = "X-Userauth-Kind"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The data that all messages share: the sender, the reply address, and the origin of links."""

    sender: str
    reply_to: str
    links_origin: str

    @property
    def sender_address(self) -> str:
        """Return the address of the sender, without a name."""
        return _mailbox(self.sender).addr_spec


def make_envelope(settings: Settings) -> Envelope:
    """Return the envelope that the settings describe."""
    return Envelope(settings.mail.sender, settings.mail.reply_to, settings.links_origin)


def render(
    message: ClaimedMessage, recipient: str, secrets: MailSecrets | None, envelope: Envelope
) -> EmailMessage:
    """Return a message as it is sent; raise MessageError if that is not possible.

    It is the same at each attempt.
    """
    try:
        return _render(message, recipient, secrets, envelope)
    except Exception as error:  # noqa: BLE001 - no failure may prevent other messages
        reason = type(error).__name__
    # Neither the text of the error nor its traceback: they may quote the email address.
    raise MessageError(f"the message cannot be rendered: {reason}")


def new_message(
    envelope: Envelope, recipient: str, *, subject: str, at: datetime, message_id: str, kind: str
) -> EmailMessage:
    """Return a message with its header fields and without a body."""
    sender, mailbox = _mailbox(envelope.sender), _address(recipient)
    needs_utf8 = not (sender.username + mailbox.username).isascii()
    message = EmailMessage(_POLICY.clone(utf8=needs_utf8))
    message["From"] = sender
    message["To"] = mailbox
    if envelope.reply_to:
        message["Reply-To"] = _mailbox(envelope.reply_to)
    message["Subject"] = subject
    message["Date"] = at.astimezone(UTC)
    message["Message-ID"] = f"<{message_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message[KIND_FIELD] = kind
    return message


def _render(
    message: ClaimedMessage, recipient: str, secrets: MailSecrets | None, envelope: Envelope
) -> EmailMessage:
    kind, language = MessageKind(message.kind), Language(message.language)
    text = texts.fill(kind, language, _values(message, secrets, envelope))
    rendered = new_message(
        envelope,
        recipient,
        subject=text.subject,
        at=message.created_at,
        message_id=message.id,
        kind=kind.value,
    )
    rendered.set_content(text.plain, cte=_ENCODING)
    rendered.add_alternative(text.html, subtype="html", cte=_ENCODING)
    rendered.set_boundary(f"=_{message.id}")
    rendered["Content-Language"] = text.language.value
    rendered.as_bytes()  # raises if it cannot be encoded
    return rendered


def _values(
    message: ClaimedMessage, secrets: MailSecrets | None, envelope: Envelope
) -> dict[str, str]:
    origin = envelope.links_origin
    values = {
        "host": urlsplit(origin).netloc,
        "origin": origin,
        "created": _utc(message.created_at),
    }
    page = MessageKind(message.kind).rules.page
    if page and secrets:
        values["link"] = link_with(secrets.token, origin=origin, page=page)
        half = CODE_DIGITS // 2
        values["code"] = f"{secrets.code[:half]} {secrets.code[half:]}"
        values["expires"] = _utc(message.expires_at)
    return values


def _utc(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _mailbox(text: str) -> Address:
    """Return a mailbox in the settings, such as Example <no-reply@example.com>."""
    (mailbox,) = _POLICY.header_factory("from", text).addresses
    return _address(mailbox.addr_spec, mailbox.display_name)


def _address(address: str, name: str = "") -> Address:
    local, _, domain = with_ascii_domain(address).rpartition("@")
    if not (local and domain):
        raise ValueError("no address")
    return Address(name, local, domain)
