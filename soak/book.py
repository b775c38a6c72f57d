"""The book of one user: what was acknowledged, what is in doubt, and what contradicts it."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from soak.calls import Call, Effect
from soak.link import Answer, Silence
from soak.tally import Tally
from soak.worlds import World, linearize

# After this a request whose answer was lost has no effect any more: it waits for a hash, a
# connection and statements, each for a bounded time.
DOUBT_SECONDS = 15.0
_REMEMBERED = 6


@dataclass(frozen=True, slots=True)
class Outcome:
    """A request that was made: of which server, when, and what came of it."""

    call: Call
    server: int
    began: float
    ended: float
    result: Answer | Silence

    @property
    def known(self) -> Answer | None:
        """Return the answer, unless it leaves open what happened."""
        if isinstance(self.result, Answer) and self.result.status not in {0, 429, 503}:
            return self.result
        return None

    def describe(self) -> str:
        result = self.result
        what = result.status if isinstance(result, Answer) else f"({result.reason})"
        return f"{self.call.kind} #{self.call.number} on server {self.server} -> {what}"


class Book:
    """What one user can be like, by all the answers so far."""

    def __init__(self, email: str, tally: Tally) -> None:
        self.email = email
        self.worlds = frozenset({World()})
        self.tokens: set[str] = set()
        self.dead_tokens: deque[str] = deque(maxlen=_REMEMBERED)
        self.old_passwords: deque[str] = deque(maxlen=_REMEMBERED)
        # Tokens that may exist and that nobody knows: their log-ins had no answer.
        self.lost_log_ins = 0
        self.contradicted = False
        self._tally = tally
        self._in_doubt: dict[int, Call] = {}
        self._doubt_ends: dict[int, float] = {}
        self._history: deque[str] = deque(maxlen=14)

    @property
    def is_in_doubt(self) -> bool:
        return bool(self._in_doubt)

    def guess(self) -> World:
        """Return a state in which the user probably is."""
        return min(self.worlds, key=lambda world: (len(world.pending), -len(world.live)))

    def settle(self, outcomes: Sequence[Outcome]) -> bool:
        """Enter requests that ran side by side; return whether they fit."""
        self._end_doubts()
        for outcome in outcomes:
            self._history.append(f"[{outcome.began - self._tally.began:.3f}] {outcome.describe()}")
            if outcome.known is None:
                self._doubt(outcome)
        answered = [(one.call, one.known) for one in outcomes if one.known is not None]
        self._note_tokens(answered)
        before = self.worlds
        after = linearize(before, answered, self._in_doubt)
        if not after:
            self._contradict(before, answered)
            return False
        self.worlds = after
        self._forget(before)
        return True

    def _doubt(self, outcome: Outcome) -> None:
        call = outcome.call
        if isinstance(outcome.result, Silence) and not outcome.result.sent:
            return
        if call.effect is Effect.LOG_IN:
            self.lost_log_ins += 1
        if not call.may_change:
            return
        self._in_doubt[call.number] = call
        self._doubt_ends[call.number] = outcome.ended + DOUBT_SECONDS
        self.worlds = frozenset(
            replace(world, pending=world.pending | {call.number}) for world in self.worlds
        )

    def _end_doubts(self) -> None:
        now = time.monotonic()
        for number in [number for number, end in self._doubt_ends.items() if end < now]:
            # What it may have done it has done by now, or never will.
            self.worlds = linearize(self.worlds, [], self._in_doubt)
            self.worlds = frozenset(world.without(number) for world in self.worlds)
            del self._in_doubt[number], self._doubt_ends[number]

    def _note_tokens(self, answered: Sequence[tuple[Call, Answer]]) -> None:
        for call, answer in answered:
            if call.effect is Effect.LOG_IN and answer.status == 200:
                self.tokens.add(str(answer.document["token"]))

    def _forget(self, before: frozenset[World]) -> None:
        """Remember what was good a moment ago, to try whether it still is."""
        was_live = {token for world in before for token in world.live} | self.tokens
        live = {token for world in self.worlds for token in world.live}
        for token in was_live - live - set(self.dead_tokens):
            if token in self.tokens:
                self.dead_tokens.append(token)
        passwords = {world.password for world in before}
        current = {world.password for world in self.worlds}
        for password in passwords - current - {""} - set(self.old_passwords):
            self.old_passwords.append(password)

    def _contradict(
        self, before: frozenset[World], answered: Sequence[tuple[Call, Answer]]
    ) -> None:
        self.contradicted = True
        said = "; ".join(
            f"#{call.number} {call.kind} by {call.proof} -> {answer.status} {answer.document}"
            for call, answer in answered
        )
        self._tally.fault(
            f"{self.email}: no order explains {said}\n    history: {'; '.join(self._history)}"
            f"\n    book: {sorted(map(str, before))[:4]}"
        )
