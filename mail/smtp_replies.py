"""What the replies of an SMTP server mean for a message and for the queue.

| step                                 | reply                                  | error      |
| ------------------------------------ | -------------------------------------- | ---------- |
| connection, EHLO, STARTTLS, AUTH     | anything but success, or none in time  | RelayFault |
| MAIL, RCPT, DATA                     | none in time, a lost connection, a     | Temporary  |
|                                      | reply that is none, 4xx                |            |
| MAIL                                 | 552, 555: size or parameters           | Permanent  |
| MAIL                                 | other 5xx: the sender is refused       | RelayFault |
| RCPT, DATA                           | 5xx that denies us to send; see below  | RelayFault |
| RCPT, DATA                           | other 5xx                              | Permanent  |
| MAIL, RCPT, DATA                     | 5.6.7 to 5.6.9: a non-ASCII address    | Permanent  |

Replies that deny us to send are 530, 534, 535 and 538 (authentication), 5.7.20 to 5.7.27 (DKIM and
SPF, RFC 7372), and those with the word "relay" and 5.7.1, or without an enhanced status code. If
the server took a message before, such a reply is about the recipient: a relay may be open for some
domains alone. It is Temporary then, so that an address that a stranger entered does not pause the
queue.
"""

import re
from enum import StrEnum

from mail.errors import MailError, Permanent, RelayFault, Temporary

_MAX_LENGTH = 200
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")
_AUTHENTICATION = {530, 534, 535, 538}
_OF_THIS_MESSAGE = {552, 555}
_PERMANENT = range(500, 600)
_RELAYING = re.compile(r"\brelay", re.IGNORECASE)
_NON_ASCII = re.compile(r"5\.6\.[789]")
_UNAUTHENTICATED = re.compile(r"5\.7\.2[0-7]")
# A filter may quote the message: an address, a token, or the code.
_QUOTED = re.compile(r"[^\s<>]+@[^\s<>]+|[\w=+-]{20,}|#\S+|\d{4}[\s-]?\d{4}")


class Step(StrEnum):
    """What a reply answers."""

    CONNECTION = "connection"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"


def error_of(step: Step, code: int, text: str, *, has_sent: bool) -> MailError:
    """Return the error that a refusal of MAIL, RCPT or DATA is."""
    reason = describe(step, f"{code} {text}")
    if code not in _PERMANENT:
        return Temporary(reason)
    enhanced = _ENHANCED.match(text)
    status = enhanced[0] if enhanced else ""
    if _NON_ASCII.fullmatch(status):
        return Permanent(reason)
    if step is Step.MAIL:
        return Permanent(reason) if code in _OF_THIS_MESSAGE else RelayFault(reason)
    if _denies_us(code, status, text):
        return Temporary(reason) if has_sent else RelayFault(reason)
    return Permanent(reason)


def describe(step: Step, text: str) -> str:
    """Return one short line about a failure, without what a reply may quote of the message."""
    if step is Step.AUTH:
        return f"{step}: {_codes(text)}"
    printable = "".join(char if char.isprintable() else " " for char in text)
    masked = _QUOTED.sub("(…)", " ".join(printable.split()))
    return f"{step}: {masked}"[:_MAX_LENGTH]


def _codes(text: str) -> str:
    """Return the codes of a reply: the rest may quote the credentials."""
    codes = re.match(r"\d{3}( [245]\.\d{1,3}\.\d{1,3})?", text)
    return codes[0] if codes else "failed"


def _denies_us(code: int, status: str, text: str) -> bool:
    if code in _AUTHENTICATION or _UNAUTHENTICATED.fullmatch(status):
        return True
    return status in {"", "5.7.1"} and _RELAYING.search(text) is not None
