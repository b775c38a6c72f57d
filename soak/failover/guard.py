"""Sends valid and revoked tokens to every server all the time: no revoked one may be accepted."""

import asyncio
import itertools
import random
import time
from collections import Counter, deque
from dataclasses import dataclass

from soak import calls
from soak.calls import Call, Endpoint, Fields, PasswordCredentials, TokenCredentials
from soak.connection import ApiResponse, BoundedConnection, NoResponse
from soak.disruptions import DisruptionLog
from soak.fleet import Fleet
from soak.mail_client import PREFIX
from soak.tally import Tally

RATE = 100
REVOCATION_SECONDS = 0.5
MIN_TOKENS = 6
# Less than limits.idle_timeout_seconds, after which a server closes a connection.
MAX_IDLE_SECONDS = 30
_EMAIL = f"{PREFIX}guard@example.com"
_PASSWORD = "pässword of the guard"  # noqa: S105 - of a user of the run
_LOG_OUT = Endpoint("POST", "/api/user/logout")
_REGISTERED = {200, 201}


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of a server; ``is_certain`` unless it is 503."""

    server: int
    started: float
    ended: float
    is_certain: bool


class Guard:
    """A user with many tokens, which are revoked one after another."""

    def __init__(
        self, fleet: Fleet, disruptions: DisruptionLog, tally: Tally, generator: random.Random
    ) -> None:
        self._fleet = fleet
        self._disruptions = disruptions
        self._tally = tally
        self._random = generator
        self._numbers = itertools.count(1)
        self._valid: deque[str] = deque()
        self._in_doubt: set[str] = set()
        self._revoked_at: dict[str, float] = {}
        # With the time of the last use of each.
        self._idle: list[list[tuple[BoundedConnection, float]]] = [[] for _ in fleet.servers]
        self._checks: set[asyncio.Task[None]] = set()
        self.answers: list[Answer] = []
        self.unknown = 0
        self.checked: Counter[tuple[int, str, str]] = Counter()

    async def run(self) -> None:
        """Check and revoke tokens until cancelled."""
        async with asyncio.TaskGroup() as group:
            for server in range(len(self._fleet.servers)):
                group.create_task(self._check_all_the_time(server))
            group.create_task(self._revoke_all_the_time())

    async def open(self) -> None:
        """Register the user and log in."""
        fields = Fields(_EMAIL, "Guard", _PASSWORD)
        result = await self._send(0, self._call("register", calls.REGISTER, fields=fields))
        if not isinstance(result, ApiResponse) or result.status not in _REGISTERED:
            self._tally.fault("guard: not registered", str(result))
        while len(self._valid) < MIN_TOKENS:
            await self._log_in(0)

    async def close(self) -> None:
        """Wait for running checks, and close every connection."""
        await asyncio.gather(*self._checks)
        for connection, _ in itertools.chain.from_iterable(self._idle):
            connection.close()

    def take_token(self) -> str:
        """Return a valid token that is to be revoked without a server."""
        token = self._valid[-1]
        self._in_doubt.add(token)
        return token

    def record_revocation(self, token: str) -> None:
        """Remember that a revocation was acknowledged: from now on the token is checked."""
        self._revoked_at[token] = time.monotonic()
        self._in_doubt.discard(token)
        if token in self._valid:
            self._valid.remove(token)

    @property
    def revoked(self) -> int:
        """Return how many revocations were acknowledged."""
        return len(self._revoked_at)

    async def _check_all_the_time(self, server: int) -> None:
        started = time.monotonic()
        for number in itertools.count(1):
            task = asyncio.create_task(self._check(server, self._token(number)))
            self._checks.add(task)
            task.add_done_callback(self._checks.discard)
            await asyncio.sleep(max(0.0, started + number / RATE - time.monotonic()))

    def _token(self, number: int) -> str:
        """Return a valid token, the last revoked one, or any other revoked one."""
        revoked = list(self._revoked_at)
        if number % 3 == 0 or not revoked:
            return self._random.choice(self._valid)
        return revoked[-1] if number % 3 == 1 else self._random.choice(revoked)

    async def _check(self, server: int, token: str) -> None:
        was_revoked = token in self._revoked_at
        credentials = TokenCredentials(token, self._random.randrange(calls.TOKEN_FORMS))
        started = time.monotonic()
        result = await self._send(server, self._call("guard", calls.READ, credentials))
        ended = time.monotonic()
        status = result.status if isinstance(result, ApiResponse) else 0
        self.answers.append(Answer(server, started, ended, status in {200, 401}))
        kind = "revoked" if was_revoked else "valid"
        self.checked[server, kind, str(status or result)] += 1
        fault = result.fault if isinstance(result, ApiResponse) else result.reason
        if was_revoked and status == 200:
            since = started - self._revoked_at[token]
            fault = f"a revoked token got in, {since:.2f} s after its revocation"
        elif status == 401 and token in self._valid and token not in self._in_doubt:
            fault = "a valid token was rejected"
        elif status == 503 and not self._disruptions.excuses_503(server, started, ended):
            fault = "503 without a disruption"
        elif status not in {200, 401, 503}:
            fault = fault or f"status {status}"
        if fault:
            near = self._disruptions.near(ended)
            self._tally.fault(f"guard: {fault[:30]}", f"{fault}, server {server}, {near}")

    async def _revoke_all_the_time(self) -> None:
        for server in itertools.cycle(range(len(self._fleet.servers))):
            await asyncio.sleep(REVOCATION_SECONDS)
            if len(self._valid) < MIN_TOKENS:
                await self._log_in(server)
            elif self._valid[0] not in self._in_doubt:
                await self._revoke(server, self._valid[0])

    async def _revoke(self, server: int, token: str) -> None:
        self._in_doubt.add(token)
        result = await self._send(
            server, self._call("log out", _LOG_OUT, TokenCredentials(token, 0))
        )
        if isinstance(result, ApiResponse) and result.status == 204:
            self.record_revocation(token)
        elif token in self._valid:
            self.unknown += 1
            # It is unknown whether it is valid: it is not used again.
            self._valid.remove(token)

    async def _log_in(self, server: int) -> None:
        credentials = PasswordCredentials(_EMAIL, _PASSWORD)
        result = await self._send(server, self._call("log in", calls.LOG_IN, credentials))
        if isinstance(result, ApiResponse) and result.status == 200:
            self._valid.append(str(result.document["token"]))

    async def _send(self, server: int, call: Call) -> ApiResponse | NoResponse:
        connection = self._take_connection(server)
        port = self._fleet.servers[server].port
        result = await connection.request(port, call.encoded(f"guard-{call.number}"))
        self._idle[server].append((connection, time.monotonic()))
        return result

    def _take_connection(self, server: int) -> BoundedConnection:
        """Return the connection that was used last, or a new one if the server may close that."""
        if not self._idle[server]:
            return BoundedConnection()
        connection, used_at = self._idle[server].pop()
        if time.monotonic() - used_at > MAX_IDLE_SECONDS:
            connection.close()
        return connection

    def _call(
        self,
        kind: str,
        endpoint: Endpoint,
        credentials: calls.Credentials | None = None,
        fields: Fields = Fields(),  # noqa: B008 - frozen
    ) -> Call:
        return Call(next(self._numbers), kind, endpoint, credentials, fields)
