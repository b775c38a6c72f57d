"""The relay of the servers: an SMTP server that fails at times, and the messages it received."""

import asyncio
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from soak.tally import Tally
from tests.harness.smtp import DROP, Plan, ReceivedMessage, SmtpServer, Step

_KIND = "X-Userauth-Kind"
_ID = re.compile(r"<([0-9a-f-]{36})@")
_LINK = re.compile(r"^http\S+\?request=\S+#(\S+)$", re.MULTILINE)
_CODE = re.compile(r"^(\d{4}) (\d{4})$", re.MULTILINE)
# How long the relay works, and then fails, in seconds.
UP_SECONDS, DOWN_SECONDS = 6.0, 2.0
# How the relay fails; None is no relay at all.
_OUTAGES: tuple[Plan | None, ...] = (
    None,
    Plan({Step.BODY: "451 4.3.0 Later"}),
    Plan({Step.BODY: DROP}),
    Plan({Step.MAIL: "421 4.3.2 Closing"}),
)


@dataclass(frozen=True, slots=True)
class Mail:
    """A message in the view of its recipient."""

    id: str
    received_at: float
    token: str | None = field(repr=False)
    code: str | None = field(repr=False)


class Mailboxes:
    """The messages that arrived, and acknowledged messages that must arrive.

    Messages to users whose email address does not begin with ``prefix`` are only counted.
    """

    def __init__(self, server: SmtpServer, prefix: str) -> None:
        self._server = server
        self._prefix = prefix
        self._read = 0
        self._repeated = 0
        self._found: dict[tuple[str, str], dict[str, Mail]] = defaultdict(dict)
        self._expected: Counter[tuple[str, str]] = Counter()
        self._changes: dict[tuple[str, str], float] = {}

    def expect(self, recipient: str, kind: str) -> None:
        """Remember that a message was acknowledged."""
        self._expected[recipient, kind] += 1

    def expect_since(self, at: float, recipient: str, kind: str) -> None:
        """Remember that a change was acknowledged: a message about it has to arrive after ``at``.

        An unsent message about an earlier change reports this one, too.
        """
        self._changes[recipient, kind] = at

    def received(self, recipient: str, kind: str) -> dict[str, Mail]:
        """Return the messages of a kind to an address, by id."""
        self._read_new()
        return dict(self._found.get((recipient, kind), {}))

    @property
    def arrived(self) -> int:
        """Return the number of different messages to users with the prefix that arrived."""
        self._read_new()
        return sum(map(len, self._found.values()))

    def missing(self) -> list[str]:
        """Return the acknowledged messages that did not arrive."""
        self._read_new()
        late = [
            f"{kind} to {recipient} after the last change"
            for (recipient, kind), at in self._changes.items()
            if not self._arrived_since(at, recipient, kind)
        ]
        return late + [
            f"{number - len(self._found.get(key, {}))} of {number} {key[1]} to {key[0]}"
            for key, number in self._expected.items()
            if len(self._found.get(key, {})) < number
        ]

    def _arrived_since(self, at: float, recipient: str, kind: str) -> bool:
        mails = self._found.get((recipient, kind), {})
        return any(mail.received_at >= at for mail in mails.values())

    def summary(self) -> str:
        expected = self._expected.total() + len(self._changes)
        return (
            f"messages: {self._read:,} received, {self._repeated:,} of them again;"
            f" {expected:,} awaited"
        )

    def _read_new(self) -> None:
        for message in self._server.messages[self._read :]:
            self._read += 1
            if message.recipients[0].startswith(self._prefix):
                self._add(message)

    def _add(self, message: ReceivedMessage) -> None:
        parsed, plain = message.parsed, message.plain
        found = _ID.search(str(parsed["Message-ID"]))
        token, code = _LINK.search(plain), _CODE.search(plain)
        mail = Mail(
            found[1] if found else "",
            message.received_at,
            token[1] if token else None,
            code[1] + code[2] if code else None,
        )
        of_kind = self._found[message.recipients[0], str(parsed[_KIND])]
        self._repeated += mail.id in of_kind
        of_kind[mail.id] = mail


async def interrupt(server: SmtpServer, until: float, tally: Tally) -> None:
    """Make a relay fail in each way in turn, until shortly before the end."""
    for number, outage in enumerate(_endlessly()):
        await asyncio.sleep(UP_SECONDS)
        if time.monotonic() > until - UP_SECONDS:
            return
        tally.relay_outages = number + 1
        if outage is None:
            await asyncio.to_thread(server.stop)
            await asyncio.sleep(DOWN_SECONDS)
            await asyncio.to_thread(server.start)
        else:
            server.plan = outage
            await asyncio.sleep(DOWN_SECONDS)
            server.plan = Plan()


def _endlessly() -> Iterator[Plan | None]:
    while True:
        yield from _OUTAGES
