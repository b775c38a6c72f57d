"""One attempt to send one message."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

from db.message_rows import ClaimedMessage
from mail.errors import MessageError, Permanent, Temporary
from mail.messages import Envelope, render
from mail.outcomes import Deferred, GivenUp, Outcome, Reason, Sent, Skipped
from mail.relay import Relay
from rules.back_off import back_off_seconds
from rules.mail_secrets import derive_secrets

# For this long, no other process may send the message. An attempt ends well before.
LEASE_SECONDS = 120.0
_ATTEMPT_SECONDS = 110.0
# RFC 5321 asks for half an hour between attempts, but most messages expire after an hour or a day.
_STEPS = (10.0, 60.0, 300.0, 900.0, 1800.0)


class KeyUnknown(Permanent):
    """The signing key that the secrets of a message derive from is not known.

    Another server may already have it: until the message expires, this one may get it too.
    """


def _reason(error: Permanent) -> Reason:
    return Reason.NOT_RENDERED if isinstance(error, MessageError) else Reason.REJECTED


class Delivery:
    """Renders messages and sends them.

    ``find_key`` returns the signing key with an id, and ``clock`` the time in UTC seconds.
    """

    def __init__(
        self,
        envelope: Envelope,
        *,
        find_key: Callable[[str], str | None],
        clock: Callable[[], float],
    ) -> None:
        self._envelope = envelope
        self._find_key = find_key
        self._clock = clock

    def now(self) -> datetime:
        """Return the current time."""
        return datetime.fromtimestamp(self._clock(), UTC)

    async def attempt(self, message: ClaimedMessage, relay: Relay) -> Outcome:
        """Send a claimed message if it is still valid; raises RelayFault."""
        recipient = message.recipient
        if recipient is None:
            with suppress(Permanent):
                self._render(message, self._envelope.sender_address)
            return Skipped()
        if not message.is_valid:
            return self._invalid(message)
        try:
            rendered = self._render(message, recipient)
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                await relay.send(rendered, recipient)
        except Permanent as error:
            return self._never(message, error)
        except Temporary as error:
            return self.later(message, str(error))
        except TimeoutError:
            return self.later(message, "the relay did not respond in time")
        return Sent(self.now())

    def later(self, message: ClaimedMessage, failure: str) -> Outcome:
        """Defer a message whose attempt failed; give up on it if it expires before the next one."""
        now = self.now()
        until = now + timedelta(seconds=back_off_seconds(_STEPS, message.attempts))
        if until >= message.expires_at:
            return GivenUp(now, Reason.EXPIRED, f"expired: {failure}")
        return Deferred(until, failure)

    def _never(self, message: ClaimedMessage, error: Permanent) -> Outcome:
        if not isinstance(error, KeyUnknown):
            return GivenUp(self.now(), _reason(error), str(error))
        match self.later(message, str(error)):
            case Deferred(until, failure):
                return Deferred(until, failure, is_of_relay=False)
            case _:
                return GivenUp(self.now(), Reason.KEY_RETIRED, str(error))

    def _invalid(self, message: ClaimedMessage) -> Outcome:
        now = self.now()
        if message.expires_at <= now:
            return GivenUp(now, Reason.EXPIRED, "expired")
        return GivenUp(now, Reason.VOID, "void, or its user is disabled or deleted")

    def _render(self, message: ClaimedMessage, recipient: str) -> EmailMessage:
        if message.key_id is None:
            return render(message, recipient, None, self._envelope)
        key = self._find_key(message.key_id)
        if key is None:
            raise KeyUnknown("signing key retired")
        secrets = derive_secrets(key, message.kind, message.id, message.nonce)
        return render(message, recipient, secrets, self._envelope)
