"""A client: makes calls to both servers in turn and records the responses in its model."""

import asyncio
import itertools
import random
import time

from soak.call_generator import CallGenerator
from soak.calls import Call
from soak.connection import ApiResponse, BoundedConnection, NoResponse
from soak.disruptions import DisruptionLog
from soak.fleet import SIZE, Fleet
from soak.model import Outcome, UserModel
from soak.tally import Tally

MAX_PAUSE_SECONDS = 0.2
FAILURE_PAUSE_SECONDS = 0.3
# Of a response without hashes, and how much longer it may take for each password that is hashed:
# the maximum wait for a hash, passwords.max_wait_seconds.
SLOW_SECONDS = 3.0
WAIT_SECONDS = 5.0


class Client:
    """One user with a number of concurrent callers, each with a connection to each server."""

    def __init__(
        self,
        *,
        number: int,
        callers: int,
        fleet: Fleet,
        disruptions: DisruptionLog,
        tally: Tally,
        generator: random.Random,
    ) -> None:
        self._number = number
        self._users = itertools.count()
        self._numbers = itertools.count(1)
        self._fleet = fleet
        self._disruptions = disruptions
        self._tally = tally
        self._random = generator
        self._connections = [[BoundedConnection() for _ in range(SIZE)] for _ in range(callers)]
        self._turn = number
        self.models: list[UserModel] = []
        self._start_over()

    async def run(self, until: float) -> None:
        """Make calls until the end of the load."""
        while time.monotonic() < until:
            await asyncio.sleep(self._random.uniform(0, MAX_PAUSE_SECONDS))
            calls = [self.generator.next_call()]
            if len(self._connections) > 1 and not self.model.is_in_doubt:
                size = self._random.randint(1, len(self._connections))
                calls = [self.generator.next_call() for _ in range(size)]
            outcomes = await self.make(calls)
            if any(one.call.may_change and one.response for one in outcomes):
                # The servers take turns: after a single call, it is the other one.
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
            calling.append(self._make_one(connections[chosen], call, chosen))
        outcomes = await asyncio.gather(*calling)
        if not self.model.record(outcomes):
            # The state of the user is unknown now: continue with a new user.
            self._start_over()
        return outcomes

    def close(self) -> None:
        """Abort every connection."""
        for connection in itertools.chain.from_iterable(self._connections):
            connection.close()

    def _start_over(self) -> None:
        email = f"client{self._number}.{next(self._users)}@example.com"
        self.model = UserModel(email, self._tally)
        self.models.append(self.model)
        self.generator = CallGenerator(self.model, self._random, self._numbers)

    async def _make_one(self, connection: BoundedConnection, call: Call, server: int) -> Outcome:
        port = self._fleet.servers[server].port
        data = call.encoded(f"soak-{self._number}-{call.number}")
        started = time.monotonic()
        result: ApiResponse | NoResponse
        if call.aborts:
            # Sometimes in the middle of the request, which the server must then ignore.
            is_whole = self._random.random() < 0.6
            size = len(data) if is_whole else self._random.randrange(1, data.index(b"\r\n\r\n"))
            pause = self._random.uniform(0, 0.01)
            aborted = await connection.disconnect_after(port, data[:size], pause)
            result = NoResponse(aborted.reason, sent=aborted.sent and is_whole)
        else:
            result = await connection.request(port, data)
        outcome = Outcome(call, server, started, time.monotonic(), result)
        self._judge(outcome)
        return outcome

    def _judge(self, outcome: Outcome) -> None:
        """Count an outcome, and record a fault if it is not allowed at this time."""
        call, result = outcome.call, outcome.result
        seconds = outcome.ended - outcome.started
        if isinstance(result, NoResponse):
            self._tally.count(call.kind, result.reason, seconds)
            fault = self._fault_of_no_response(outcome, result)
        else:
            self._tally.count(call.kind, str(result.status), seconds)
            fault = result.fault or self._fault_of_response(outcome, result)
        if fault:
            near = self._disruptions.near(outcome.ended)
            self._tally.fault(
                f"{call.kind}: {fault}",
                f"{outcome.describe()}, after {seconds:.3f} s, {near};"
                f" request soak-{self._number}-{call.number} {result}",
            )

    def _fault_of_no_response(self, outcome: Outcome, result: NoResponse) -> str:
        times = (outcome.server, outcome.started, outcome.ended)
        aborts = outcome.call.aborts
        if result.sent and not aborts:
            self._tally.unknown[f"{result.reason}, {self._disruptions.cause(*times)}"] += 1
        is_excused = aborts or self._disruptions.excuses_no_response(*times)
        return "" if is_excused and not result.timed_out else result.reason

    def _fault_of_response(self, outcome: Outcome, response: ApiResponse) -> str:
        times = (outcome.server, outcome.started, outcome.ended)
        seconds = outcome.ended - outcome.started
        if response.status == 503:
            if outcome.call.may_change:
                self._tally.unknown[f"503, {self._disruptions.cause(*times)}"] += 1
            # On a busy machine, hash threads may get no core for a while: counted, but no fault.
            is_overload = str(response.document.get("type", "")).endswith("#overloaded")
            is_excused = is_overload or self._disruptions.excuses_503(*times)
            return "" if is_excused else "503 without a disruption"
        if response.status == 429:
            return "429"
        max_seconds = SLOW_SECONDS + WAIT_SECONDS * outcome.call.hashes
        return "slow response" if seconds > max_seconds else ""
