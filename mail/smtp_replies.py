"""The errors that replies of an SMTP server cause, for a message or for the queue.

| step                                 | reply                                  | error      |
| ------------------------------------ | -------------------------------------- | ---------- |
| connection, EHLO, STARTTLS, AUTH     | anything but success, or none in time  | RelayFault |
| MAIL, RCPT, DATA                     | none in time, a lost connection, a     | Temporary  |
|                                      | malformed reply, 4xx                   |            |
| MAIL                                 | 552, 555: size or parameters           | Permanent  |
| MAIL                                 | other 5xx: the sender is rejected      | RelayFault |
| RCPT, DATA                           | 5xx that forbids sending; see below    | RelayFault |
| RCPT, DATA                           | other 5xx                              | Permanent  |
| MAIL, RCPT, DATA                     | 5.6.7 to 5.6.9: a non-ASCII address    | Permanent  |

Replies that forbid sending are 530, 534, 535 and 538 (authentication), 5.3.2 and 5.4.5 (the relay
is closed, or its quota is used up), 5.7.20 to 5.7.27 (DKIM, SPF and reverse DNS, RFC 7372; a null
MX of the sender, RFC 7505), and those with the word "relay" and 5.7.1, or without an enhanced
status code.

A message that may be the only one with such a reply gets Temporary in place of RelayFault, so that
an address that a stranger entered does not pause the queue: at RCPT and DATA if the server accepted
a message before, since a relay may be open for some domains only, and at each step if the address
needs SMTPUTF8.
"""

import re
from enum import StrEnum

from mail.errors import MailError, Permanent, RelayFault, Temporary

_MAX_LENGTH = 200
# A server with several IP addresses has a reason for each.
_MAX_CONNECTION_LENGTH = 500
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")
_AUTHENTICATION = {530, 534, 535, 538}
_OF_THIS_MESSAGE = {552, 555}
_PERMANENT = range(500, 600)
_RELAYING = re.compile(r"\brelay", re.IGNORECASE)
_NON_ASCII = re.compile(r"5\.6\.[789]")
_CLOSED_TO_US = re.compile(r"5\.(7\.2[0-7]|3\.2|4\.5)")
# A filter may quote the message: an address, a token, or the code.
_QUOTED = re.compile(r"[^\s<>]+@[^\s<>]+|[\w=+-]{20,}|#\S+|\d{4}[\s-]?\d{4}")


class Step(StrEnum):
    """The step that a reply answers."""

    CONNECTION = "connection"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"


def error_of(
    step: Step, code: int, text: str, *, has_sent: bool = False, needs_utf8: bool = False
) -> MailError:
    """Return the error for a reply that rejects MAIL, RCPT or DATA.

    ``has_sent`` is True if the server accepted a message before, ``needs_utf8`` if this one needs
    SMTPUTF8.
    """
    reason = describe(step, f"{code} {text}")
    if code not in _PERMANENT:
        return Temporary(reason)
    enhanced = _ENHANCED.match(text)
    status = enhanced[0] if enhanced else ""
    if _NON_ASCII.fullmatch(status):
        return Permanent(reason)
    if step is Step.MAIL:
        is_of_relay, is_alone = code not in _OF_THIS_MESSAGE, needs_utf8
    else:
        is_of_relay, is_alone = _denies_us(code, status, text), needs_utf8 or has_sent
    if not is_of_relay:
        return Permanent(reason)
    return Temporary(reason) if is_alone else RelayFault(reason)


def describe(step: Step, text: str, place: str = "") -> str:
    """Return one short line about a failure, which quotes nothing of the message.

    ``place`` is the host and port of the server, for a failure of the connection.
    """
    if step is Step.AUTH:
        return f"{step}: {_codes(text)}"
    printable = "".join(char if char.isprintable() else " " for char in text)
    masked = _QUOTED.sub("(…)", " ".join(printable.split()))
    if place:
        return f"{step}: {place}: {masked}"[:_MAX_CONNECTION_LENGTH]
    return f"{step}: {masked}"[:_MAX_LENGTH]


def _codes(text: str) -> str:
    """Return the codes of a reply: the rest may quote the credentials."""
    codes = re.match(r"\d{3}( [245]\.\d{1,3}\.\d{1,3})?", text)
    return codes[0] if codes else "failed"


def _denies_us(code: int, status: str, text: str) -> bool:
    if code in _AUTHENTICATION or _CLOSED_TO_US.fullmatch(status):
        return True
    return status in {"", "5.7.1"} and _RELAYING.search(text) is not None
