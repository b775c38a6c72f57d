"""The possible states of a user: all states that are consistent with every response so far.

If a response is lost, the request may have taken effect, may still take effect, or may never do so.
The model keeps each of these states until a response rules it out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from soak.calls import Call, Effect, PasswordCredentials, TokenCredentials
from soak.connection import ApiResponse

SUCCESS = {Effect.REGISTER: 201}


@dataclass(frozen=True, slots=True)
class State:
    """A possible state of a user; ``pending`` are calls that may still take effect."""

    exists: bool = False
    user_id: str | None = None
    name: str | None = None
    password: str = ""
    valid_tokens: frozenset[str] = frozenset()
    pending: frozenset[int] = frozenset()

    def without(self, number: int) -> "State":
        return replace(self, pending=self.pending - {number})


def linearize(
    states: Iterable[State],
    responses: Sequence[tuple[Call, ApiResponse]],
    in_doubt: Mapping[int, Call],
) -> frozenset[State]:
    """Return the states after concurrent calls, for every order that explains the responses.

    The result is empty if no order does. A call in doubt may take effect at any point.
    """
    results: set[State] = set()
    seen: set[tuple[State, frozenset[int]]] = set()
    todo = [(state, frozenset(range(len(responses)))) for state in states]
    while todo:
        step = todo.pop()
        if step in seen:
            continue
        seen.add(step)
        state, remaining = step
        if not remaining:
            results.add(state)
        for index in remaining:
            after = explain(state, *responses[index])
            if after is not None:
                todo.append((after, remaining - {index}))
        for number in state.pending:
            call = in_doubt[number]
            rest = state.without(number)
            todo.append((_after(rest, call) if _succeeds(rest, call) else rest, remaining))
    return frozenset(results)


def explain(state: State, call: Call, response: ApiResponse) -> State | None:
    """Return the state after a call with this response, or None if the state rules it out."""
    if response.status != expected_status(state, call):
        return None
    if response.status >= 400:
        return state
    document = response.document
    after = _after(state, call)
    if call.effect is Effect.DELETE:
        return after if document == {} else None
    if call.effect is Effect.LOG_IN:
        return replace(after, valid_tokens=after.valid_tokens | {str(document["token"])})
    user_id = str(document["id"])
    if after.user_id not in {None, user_id} or document["name"] != after.name:
        return None
    return replace(after, user_id=user_id)


def expected_status(state: State, call: Call) -> int:
    """Return the status that a call must have in this state."""
    rejection = call.invalid_body.status if call.invalid_body else None
    if call.effect is Effect.REGISTER:
        return rejection or (409 if state.exists else 201)
    if not _is_authorized(state, call):
        return 401
    return rejection or 200


def _is_authorized(state: State, call: Call) -> bool:
    if call.credentials is None:
        return False
    if isinstance(call.credentials, PasswordCredentials):
        return state.exists and call.credentials.password == state.password
    return call.effect is not Effect.LOG_IN and call.credentials.token in state.valid_tokens


def _succeeds(state: State, call: Call) -> bool:
    return expected_status(state, call) == SUCCESS.get(call.effect, 200)


def _after(state: State, call: Call) -> State:
    """Return the state after a call that succeeded."""
    fields = call.fields
    match call.effect:
        case Effect.REGISTER:
            return State(
                exists=True,
                name=fields.name,
                password=fields.password or "",
                pending=state.pending,
            )
        case Effect.CHANGE:
            name = state.name if fields.name is None else fields.name
            if fields.password is None:
                return replace(state, name=name)
            used = call.credentials
            tokens = state.valid_tokens & (
                {used.token} if isinstance(used, TokenCredentials) else set()
            )
            return replace(state, name=name, password=fields.password, valid_tokens=tokens)
        case Effect.DELETE:
            return State(pending=state.pending)
    return state
