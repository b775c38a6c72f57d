"""Why a message was not sent, and what follows for the message and for the queue.

The text of each error is stored with the message and logged: it contains no secret and no address.
"""


class MailError(Exception):
    """A message was not sent."""


class Temporary(MailError):
    """Not now: send this message later. Others are not affected."""


class Permanent(MailError):
    """Never: this message is dead. Others are not affected."""


class MessageError(Permanent):
    """The message cannot be rendered."""


class RelayFault(MailError):
    """The relay sends nothing: pause the queue, and do not count the attempt."""
