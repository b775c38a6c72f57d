"""The reasons why a message was not sent, and the consequences for it and the queue.

The text of each error is stored with the message and logged: it contains no secret and no
email address.
"""


class MailError(Exception):
    """A message was not sent."""


class Temporary(MailError):
    """Retry this message later. Others are not affected."""


class Permanent(MailError):
    """Give up on this message. Others are not affected."""


class MessageError(Permanent):
    """The message cannot be rendered."""


class RelayFault(MailError):
    """The relay sends nothing: pause the queue, and do not count the attempt."""
