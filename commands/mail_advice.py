"""Advice about messages that the relay does not send."""

from mail.errors import MailError, MessageError, Temporary

# By the failed step, with which the text of each error begins.
_ADVICE = {
    "connection": "Check the host and the port of mail.url, and whether this machine may connect to"
    " them: a firewall may discard connections. smtps:// usually uses port 465, and"
    " smtp+starttls:// port 587. The certificate must be valid for the host.",
    "EHLO": "Ask the operator of the relay whether it accepts connections from this machine.",
    "STARTTLS": "If the relay expects TLS from the start, use smtps://. Its certificate must be"
    " valid for the host of mail.url.",
    "AUTH": "Check the user and the password in mail.url. Special characters are written as %40 and"
    " the like.",
    "MAIL FROM": "The relay does not accept mail.from. Set an address that it may send from.",
    "RCPT TO": "Check the address. If the reply says that relaying is denied, the relay expects a"
    " user and a password in mail.url, or does not send for this machine.",
    "DATA": "The relay does not accept the message. Check SPF, DKIM and DMARC of the domain of"
    " mail.from: see docs/mail.md.",
    "the folder": "Check the owner and the permissions of the folder in mail.url.",
}
_LATER = "The failure is temporary: try again in a few minutes."


def advice_on(error: MailError) -> str:
    """Return what an administrator can do about an error."""
    if isinstance(error, MessageError):
        return "Check the address, mail.from and mail.reply_to."
    if isinstance(error, Temporary):
        return _LATER
    text = str(error)
    found = (advice for step, advice in _ADVICE.items() if text.startswith(step))
    return next(found, "Read the log of the relay.")
