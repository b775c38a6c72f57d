"""The model of one user: changes that are acknowledged or in doubt, and contradictions."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from soak.calls import Call, Effect
from soak.connection import ApiResponse, NoResponse
from soak.states import State, linearize
from soak.tally import Tally

# After this time, a request whose response was lost can no longer take effect: its waits for a
# hash, a connection and statements are all bounded.
DOUBT_SECONDS = 15.0
_REMEMBERED = 6


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call that was made: to which server, when, and its result."""

    call: Call
    server: int
    started: float
    ended: float
    result: ApiResponse | NoResponse

    @property
    def response(self) -> ApiResponse | None:
        """Return the response, or None if it is unknown whether the call took effect."""
        if isinstance(self.result, ApiResponse) and self.result.status not in {0, 429, 503}:
            return self.result
        return None

    def describe(self) -> str:
        result = self.result
        what = result.status if isinstance(result, ApiResponse) else f"({result.reason})"
        return f"{self.call.kind} #{self.call.number} on server {self.server} -> {what}"


class UserModel:
    """The possible states of one user, given all responses so far."""

    def __init__(self, email: str, tally: Tally, doubt_seconds: float = DOUBT_SECONDS) -> None:
        self.email = email
        self.states = frozenset({State()})
        self.tokens: set[str] = set()
        self.revoked_tokens: deque[str] = deque(maxlen=_REMEMBERED)
        self.old_passwords: deque[str] = deque(maxlen=_REMEMBERED)
        # Logins without a response, each of which may have created a token that no client has.
        self.lost_logins = 0
        self.contradicted = False
        self._tally = tally
        self._doubt_seconds = doubt_seconds
        self._in_doubt: dict[int, Call] = {}
        self._doubt_ends: dict[int, float] = {}
        self._history: deque[str] = deque(maxlen=14)

    @property
    def is_in_doubt(self) -> bool:
        return bool(self._in_doubt)

    def most_likely(self) -> State:
        """Return the most likely state of the user."""
        return min(self.states, key=lambda state: (len(state.pending), -len(state.valid_tokens)))

    def record(self, outcomes: Sequence[Outcome]) -> bool:
        """Record the outcomes of concurrent calls; return whether any order explains them."""
        self._end_doubts()
        for outcome in outcomes:
            at = outcome.started - self._tally.started
            self._history.append(f"[{at:.3f}] {outcome.describe()}")
            if outcome.response is None:
                self._doubt(outcome)
        responses = [(one.call, one.response) for one in outcomes if one.response is not None]
        self._record_tokens(responses)
        before = self.states
        after = linearize(before, responses, self._in_doubt)
        if not after:
            self._contradict(before, responses)
            return False
        self.states = after
        self._record_invalidated(before)
        return True

    def _doubt(self, outcome: Outcome) -> None:
        call = outcome.call
        if isinstance(outcome.result, NoResponse) and not outcome.result.sent:
            return
        if call.effect is Effect.LOG_IN:
            self.lost_logins += 1
        if not call.may_change:
            return
        self._in_doubt[call.number] = call
        self._doubt_ends[call.number] = outcome.ended + self._doubt_seconds
        self.states = frozenset(
            replace(state, pending=state.pending | {call.number}) for state in self.states
        )

    def _end_doubts(self) -> None:
        now = time.monotonic()
        for number in [number for number, end in self._doubt_ends.items() if end < now]:
            # By now, it has taken effect or never will.
            self.states = linearize(self.states, [], self._in_doubt)
            self.states = frozenset(state.without(number) for state in self.states)
            del self._in_doubt[number], self._doubt_ends[number]

    def _record_tokens(self, responses: Sequence[tuple[Call, ApiResponse]]) -> None:
        for call, response in responses:
            if call.effect is Effect.LOG_IN and response.status == 200:
                self.tokens.add(str(response.document["token"]))

    def _record_invalidated(self, before: frozenset[State]) -> None:
        """Remember tokens and passwords that were valid, to check that they no longer are."""
        was_valid = {token for state in before for token in state.valid_tokens} | self.tokens
        is_valid = {token for state in self.states for token in state.valid_tokens}
        for token in was_valid - is_valid - set(self.revoked_tokens):
            if token in self.tokens:
                self.revoked_tokens.append(token)
        passwords = {state.password for state in before}
        current = {state.password for state in self.states}
        for password in passwords - current - {""} - set(self.old_passwords):
            self.old_passwords.append(password)

    def _contradict(
        self, before: frozenset[State], responses: Sequence[tuple[Call, ApiResponse]]
    ) -> None:
        self.contradicted = True
        described = "; ".join(
            f"#{call.number} {call.kind} by {call.credentials}"
            f" -> {response.status} {response.document}"
            for call, response in responses
        )
        self._tally.fault(
            "no order explains the responses",
            f"{self.email}: {described}"
            f"\n    history: {'; '.join(self._history)}"
            f"\n    model: {sorted(map(str, before))[:4]}",
        )
