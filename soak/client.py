"""A client: makes calls to both servers in turn and enters the answers into its book."""

import asyncio
import itertools
import random
import time

from soak.book import Book, Outcome
from soak.calls import Call
from soak.choices import Chooser
from soak.disturbances import Calendar
from soak.fleet import SIZE, Fleet
from soak.link import Answer, Link, Silence
from soak.tally import Tally

MOST_PAUSE_SECONDS = 0.2
REFUSED_PAUSE_SECONDS = 0.3
SLOW_SECONDS = 8.0


class Client:
    """One user, and as many connections to each server as it has members."""

    def __init__(
        self,
        *,
        number: int,
        members: int,
        fleet: Fleet,
        calendar: Calendar,
        tally: Tally,
        choice: random.Random,
    ) -> None:
        self._number = number
        self._lives = itertools.count()
        self._numbers = itertools.count(1)
        self._fleet = fleet
        self._calendar = calendar
        self._tally = tally
        self._random = choice
        self._links = [[Link() for _ in range(SIZE)] for _ in range(members)]
        self._turn = number
        self.books: list[Book] = []
        self._begin_again()

    async def run(self, until: float) -> None:
        """Make calls until the time is over."""
        while time.monotonic() < until:
            await asyncio.sleep(self._random.uniform(0, MOST_PAUSE_SECONDS))
            calls = [self.chooser.next_call()]
            if len(self._links) > 1 and not self.book.is_in_doubt:
                size = self._random.randint(1, len(self._links))
                calls = [self.chooser.next_call() for _ in range(size)]
            outcomes = await self.make(calls)
            if any(one.call.may_change and one.known for one in outcomes):
                # Each goes to the next server in turn: after a single call, to the other one.
                for call in self.chooser.read_back():
                    await self.make([call])
            if any(one.known is None and not one.call.hangs_up for one in outcomes):
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)

    async def make(self, calls: list[Call], server: int | None = None) -> list[Outcome]:
        """Make calls side by side, of a server or of both in turn, and enter what came of them."""
        made = []
        for links, call in zip(self._links, calls, strict=False):
            self._turn += 1
            chosen = self._turn % SIZE if server is None else server
            made.append(self._make_one(links[chosen], call, chosen))
        outcomes = await asyncio.gather(*made)
        if not self.book.settle(outcomes):
            # What its user is like nobody knows now: go on with another one.
            self._begin_again()
        return outcomes

    def close(self) -> None:
        """Break every connection."""
        for link in itertools.chain.from_iterable(self._links):
            link.close()

    def _begin_again(self) -> None:
        email = f"client{self._number}.{next(self._lives)}@example.com"
        self.book = Book(email, self._tally)
        self.books.append(self.book)
        self.chooser = Chooser(self.book, self._random, self._numbers)

    async def _make_one(self, link: Link, call: Call, server: int) -> Outcome:
        port = self._fleet.servers[server].port
        data = call.encoded(f"soak-{self._number}-{call.number}")
        began = time.monotonic()
        result: Answer | Silence
        if call.hangs_up:
            # Sometimes in the middle of the request, which then is none.
            is_whole = self._random.random() < 0.6
            size = len(data) if is_whole else self._random.randrange(1, data.index(b"\r\n\r\n"))
            silence = await link.hang_up(port, data[:size], self._random.uniform(0, 0.01))
            result = Silence(silence.reason, sent=silence.sent and is_whole)
        else:
            result = await link.ask(port, data)
        outcome = Outcome(call, server, began, time.monotonic(), result)
        self._judge(outcome)
        return outcome

    def _judge(self, outcome: Outcome) -> None:
        """Count an outcome, and complain of one that is not allowed at this time."""
        call, result = outcome.call, outcome.result
        times = (outcome.server, outcome.began, outcome.ended)
        seconds = outcome.ended - outcome.began
        wrong = ""
        if isinstance(result, Silence):
            self._tally.count(call.kind, result.reason, seconds)
            if result.sent and not call.hangs_up:
                self._tally.unknown[f"{result.reason}, {self._calendar.cause(*times)}"] += 1
            is_allowed = call.hangs_up or self._calendar.permits_silence(*times)
            wrong = "" if is_allowed and not result.hung else result.reason
        else:
            self._tally.count(call.kind, str(result.status), seconds)
            wrong = result.fault
            if result.status == 503:
                if call.may_change:
                    self._tally.unknown[f"503, {self._calendar.cause(*times)}"] += 1
                wrong = wrong or self._unexplained_503(times, result)
            elif result.status == 429 or seconds > SLOW_SECONDS:
                wrong = wrong or f"took {seconds:.1f} s"
        if wrong:
            near = self._calendar.near(outcome.ended)
            self._tally.fault(
                f"{outcome.describe()}: {wrong}, after {seconds:.3f} s, {near};"
                f" request soak-{self._number}-{call.number} {result}"
            )

    def _unexplained_503(self, times: tuple[int, float, float], answer: Answer) -> str:
        # A busy machine may give hashes no core for a while: no fault, but counted.
        is_full = str(answer.document.get("type", "")).endswith("#overloaded")
        is_explained = is_full or self._calendar.permits_refusal(*times)
        return "" if is_explained else "503 far from any disturbance"
