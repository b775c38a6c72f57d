"""What may be true of one user: the states that fit every answer so far.

Where an answer never came, the request may have had its effect, may have it later, or never: the
book then goes on with each of these worlds, until an answer tells them apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from soak.calls import ByPassword, Call, Effect
from soak.link import Answer

SUCCESS = {Effect.REGISTER: 201}


@dataclass(frozen=True, slots=True)
class World:
    """One possible state of a user; ``pending`` are the calls that may still have their effect."""

    exists: bool = False
    user_id: str | None = None
    name: str | None = None
    password: str = ""
    live: frozenset[str] = frozenset()
    pending: frozenset[int] = frozenset()

    def without(self, number: int) -> "World":
        return replace(self, pending=self.pending - {number})


def linearize(
    worlds: Iterable[World],
    answered: Sequence[tuple[Call, Answer]],
    in_doubt: Mapping[int, Call],
) -> frozenset[World]:
    """Return the worlds after calls that ran side by side, in any order that explains the answers.

    None where no order does. Calls in doubt may come in between anywhere.
    """
    found: set[World] = set()
    seen: set[tuple[World, frozenset[int]]] = set()
    todo = [(world, frozenset(range(len(answered)))) for world in worlds]
    while todo:
        step = todo.pop()
        if step in seen:
            continue
        seen.add(step)
        world, left = step
        if not left:
            found.add(world)
        for index in left:
            after = explain(world, *answered[index])
            if after is not None:
                todo.append((after, left - {index}))
        for number in world.pending:
            call = in_doubt[number]
            rest = world.without(number)
            todo.append((_after(rest, call) if _succeeds(rest, call) else rest, left))
    return frozenset(found)


def explain(world: World, call: Call, answer: Answer) -> World | None:
    """Return the world after a call that was answered like this, or None where it cannot be."""
    if answer.status != expected_status(world, call):
        return None
    if answer.status >= 400:
        return world
    document = answer.document
    after = _after(world, call)
    if call.effect is Effect.DELETE:
        return after if document == {} else None
    if call.effect is Effect.LOG_IN:
        return replace(after, live=after.live | {str(document["token"])})
    user_id = str(document["id"])
    if after.user_id not in {None, user_id} or document["name"] != after.name:
        return None
    return replace(after, user_id=user_id)


def expected_status(world: World, call: Call) -> int:
    """Return how a call has to be answered in this world."""
    if call.effect is Effect.REGISTER:
        return call.refusal or (409 if world.exists else 201)
    if not _is_let_in(world, call):
        return 401
    return call.refusal or 200


def _is_let_in(world: World, call: Call) -> bool:
    if call.proof is None:
        return False
    if isinstance(call.proof, ByPassword):
        return world.exists and call.proof.password == world.password
    return call.effect is not Effect.LOG_IN and call.proof.token in world.live


def _succeeds(world: World, call: Call) -> bool:
    return expected_status(world, call) == SUCCESS.get(call.effect, 200)


def _after(world: World, call: Call) -> World:
    """Return the world after a call that succeeded."""
    match call.effect:
        case Effect.REGISTER:
            return World(
                exists=True,
                name=call.name,
                password=call.password or "",
                pending=world.pending,
            )
        case Effect.CHANGE:
            name = world.name if call.name is None else call.name
            if call.password is None:
                return replace(world, name=name)
            kept = (
                set()
                if isinstance(call.proof, ByPassword) or call.proof is None
                else {call.proof.token}
            )
            return replace(world, name=name, password=call.password, live=world.live & kept)
        case Effect.DELETE:
            return World(pending=world.pending)
    return world
