"""A client: makes calls to both servers in turn and records the responses in its model."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator

from soak.call_generator import CallGenerator
from soak.calls import Call
from soak.connection import BoundedConnection
from soak.fleet import SIZE
from soak.model import DOUBT_SECONDS, Outcome, UserModel
from soak.requester import Requester
from soak.tally import Tally

MAX_PAUSE_SECONDS = 0.2
FAILURE_PAUSE_SECONDS = 0.3
# One user in SHARED_INTERVAL has concurrent callers.
CALLERS = 5
SHARED_INTERVAL = 5


class Client:
    """One user with a number of concurrent callers, each with a connection to each server."""

    def __init__(
        self,
        *,
        number: int,
        callers: int,
        requester: Requester,
        tally: Tally,
        generator: random.Random,
        doubt_seconds: float = DOUBT_SECONDS,
    ) -> None:
        self._number = number
        self._users = itertools.count()
        self._numbers = itertools.count(1)
        self._requester = requester
        self._tally = tally
        self._doubt_seconds = doubt_seconds
        self._is_stopped = False
        self._random = generator
        self._connections = [[BoundedConnection() for _ in range(SIZE)] for _ in range(callers)]
        self._turn = number
        self.models: list[UserModel] = []
        self._start_over()

    async def run(self, until: float) -> None:
        """Make calls until the end of the load."""
        while time.monotonic() < until and not self._is_stopped:
            await asyncio.sleep(self._random.uniform(0, MAX_PAUSE_SECONDS))
            calls = [self.generator.next_call()]
            if len(self._connections) > 1 and not self.model.is_in_doubt:
                size = self._random.randint(1, len(self._connections))
                calls = [self.generator.next_call() for _ in range(size)]
            outcomes = await self.make(calls)
            if any(one.call.may_change and one.response for one in outcomes):
                # The servers take turns: after a single call, it is the other server's turn.
                for call in self.generator.read_back():
                    await self.make([call])
            if any(one.response is None and not one.call.aborts for one in outcomes):
                await asyncio.sleep(FAILURE_PAUSE_SECONDS)

    async def make(self, calls: list[Call], server: int | None = None) -> list[Outcome]:
        """Make concurrent calls, to one server or to both in turn; return their outcomes."""
        calling = []
        for connections, call in zip(self._connections, calls, strict=False):
            self._turn += 1
            chosen = self._turn % SIZE if server is None else server
            calling.append(self._requester.make(connections[chosen], call, chosen))
        outcomes = await asyncio.gather(*calling)
        if not self.model.record(outcomes):
            # The state of the user is unknown now: continue with a new user.
            self._start_over()
        return outcomes

    def stop(self) -> None:
        """End the load after the current call."""
        self._is_stopped = True

    def close(self) -> None:
        """Abort every connection."""
        for connection in itertools.chain.from_iterable(self._connections):
            connection.close()

    def _start_over(self) -> None:
        email = f"client{self._number}.{next(self._users)}@example.com"
        self.model = UserModel(email, self._tally, self._doubt_seconds)
        self.models.append(self.model)
        self.generator = CallGenerator(self.model, self._random, self._numbers)


def make_clients(
    count: int,
    seed: int,
    requester: Callable[[str, random.Random], Requester],
    tally: Tally,
    doubt_seconds: float = DOUBT_SECONDS,
) -> Iterator[Client]:
    """Yield clients with ``count`` callers in total; ``requester`` makes the requester of each."""
    remaining = count
    number = 0
    while remaining > 0:
        is_shared = number % SHARED_INTERVAL == 0 and remaining >= CALLERS
        callers = CALLERS if is_shared else 1
        generator = random.Random(f"{seed} {number}")
        yield Client(
            number=number,
            callers=callers,
            requester=requester(f"soak-{number}", generator),
            tally=tally,
            generator=generator,
            doubt_seconds=doubt_seconds,
        )
        remaining -= callers
        number += 1
