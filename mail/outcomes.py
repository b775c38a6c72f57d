"""The outcomes of attempts to send a message, and how they are recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from db import messages
from db.message_rows import ClaimedMessage
from db.pool import Connection


class Reason(StrEnum):
    """Why the server gives up on a message. The values are labels of a metric."""

    EXPIRED = "expired"
    VOID = "void"
    REJECTED = "rejected"
    NOT_RENDERED = "not-rendered"
    KEY_RETIRED = "key-retired"


@dataclass(frozen=True, slots=True)
class Sent:
    """The relay accepted the message."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Deferred:
    """The message is sent later.

    ``is_counted`` is False if the relay sends no messages at all; ``is_of_relay`` is True if the
    relay responded.
    """

    until: datetime
    failure: str
    is_counted: bool = True
    is_of_relay: bool = True


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The message is not sent."""

    at: datetime
    reason: Reason
    failure: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """The message has no recipient.

    It passes through the queue, and is rendered: otherwise the next request would take less time
    than after a message that is sent.
    """


Outcome = Sent | Deferred | GivenUp | Skipped


async def record_outcome(connection: Connection, message: ClaimedMessage, outcome: Outcome) -> None:
    """Record the outcome for a message, unless its lease has ended and it was claimed again."""
    match outcome:
        case Sent(at):
            await messages.mark_sent(connection, message, at=at)
        case Deferred(until, failure, is_counted):
            await messages.defer(
                connection, message, until=until, failure=failure, is_counted=is_counted
            )
        case GivenUp(at, _, failure):
            await messages.give_up(connection, message, at=at, failure=failure)
        case Skipped():
            await messages.skip(connection, message)


@dataclass(slots=True)
class OutcomeCounts:
    """How many messages this process has sent, deferred and given up on."""

    sent: int = 0
    deferred: int = 0
    _given_up: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(Reason, 0))

    @property
    def given_up(self) -> Mapping[str, int]:
        """Return how many messages the process gave up on, by reason."""
        return {reason.value: count for reason, count in self._given_up.items()}

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        match outcome:
            case Sent():
                self.sent += 1
            case Deferred(is_counted=True):
                self.deferred += 1
            case GivenUp(reason=reason):
                self._given_up[reason] += 1
            case _:
                pass
