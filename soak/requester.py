"""Makes calls to the servers, counts the outcomes, and records those that are not allowed."""

import random
import time

from soak.calls import Call
from soak.connection import ApiResponse, BoundedConnection, NoResponse
from soak.disruptions import DisruptionLog
from soak.fleet import Fleet
from soak.model import Outcome
from soak.tally import Tally

# The maximum time of a response without hashes, and the additional time for each password that is
# hashed: the maximum wait for a hash, passwords.max_wait_seconds.
SLOW_SECONDS = 3.0
WAIT_SECONDS = 5.0
# The additional time while 503 is an allowed response: a request may wait for a connection until an
# outage ends.
OUTAGE_SECONDS = 3.0


class Requester:
    """Makes the calls of one client; ``name`` begins the ids of its requests."""

    def __init__(
        self,
        name: str,
        *,
        fleet: Fleet,
        disruptions: DisruptionLog,
        tally: Tally,
        generator: random.Random,
    ) -> None:
        self._name = name
        self._fleet = fleet
        self._disruptions = disruptions
        self._tally = tally
        self._random = generator

    async def make(self, connection: BoundedConnection, call: Call, server: int) -> Outcome:
        """Make a call to a server; return its outcome."""
        port = self._fleet.servers[server].port
        data = call.encoded(f"{self._name}-{call.number}")
        started = time.monotonic()
        result: ApiResponse | NoResponse
        if call.aborts:
            # Sometimes in the middle of the request, which the server must ignore.
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
                f" request {self._name}-{call.number} {result}",
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
        has_outage = self._disruptions.excuses_503(*times)
        if response.status == 503:
            if outcome.call.may_change:
                self._tally.unknown[f"503, {self._disruptions.cause(*times)}"] += 1
            # On a busy machine, hash threads may get no core for a while: counted, but not a fault.
            is_overload = str(response.document.get("type", "")).endswith("#overloaded")
            return "" if is_overload or has_outage else "503 without a disruption"
        if response.status == 429:
            return "429"
        max_seconds = SLOW_SECONDS + WAIT_SECONDS * outcome.call.hashes
        max_seconds += OUTAGE_SECONDS * has_outage
        return "slow response" if seconds > max_seconds else ""
