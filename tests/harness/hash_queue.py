"""A queue for hashes whose work a test controls, and callers that wait in it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from rules.errors import Overloaded
from rules.hash_queue import HashQueue
from rules.turns import Caller
from tests.harness.waiting import WORK_SECONDS, until

MakeQueue = Callable[..., HashQueue]


class Work:
    """A slow function, which runs until the test lets it end, and records each call."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.begun: list[int] = []
        self.threads: set[int] = set()
        self.at_a_time = 0
        self._lock = threading.Lock()

    def run(self, number: int) -> int:
        with self._lock:
            self.begun.append(number)
            self.threads.add(threading.get_ident())
            self.at_a_time += 1
        self.may_end.wait(WORK_SECONDS)
        with self._lock:
            self.at_a_time -= 1
        return number

    async def started(self, number: int) -> None:
        await until(lambda: len(self.begun) >= number)


def run(flow: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(flow(), WORK_SECONDS))


def caller(number: int = 0, *, is_known: bool = False) -> Caller:
    """Return a caller in a network of its own."""
    return Caller.at(f"192.0.2.{number}", f"account {number}", is_known=is_known)


async def in_slot(queue: HashQueue, function: Callable[[], Any], who: Caller | None = None) -> Any:
    async with queue.slot(who or caller()) as slot:
        return await slot.run(function)


def queued(
    queue: HashQueue, work: Work, callers: Sequence[Caller], first: int = 0
) -> "list[asyncio.Task[Any]]":
    """Start callers in this order; each runs its own number, counted from ``first``."""
    return [
        asyncio.create_task(in_slot(queue, partial(work.run, number), who))
        for number, who in enumerate(callers, first)
    ]


async def waiting(queue: HashQueue, number: int) -> None:
    await until(lambda: queue.waiting == number)


def ran(make_queue: MakeQueue, work: Work, callers: Sequence[Caller]) -> list[int]:
    """Return the order in which callers run that wait behind one."""

    async def flow() -> None:
        tasks = queued(make_queue(), work, [caller(0), *callers])
        await work.started(1)
        work.may_end.set()
        await asyncio.gather(*tasks)

    run(flow)
    return [number - 1 for number in work.begun[1:]]


async def outcomes(tasks: "Sequence[asyncio.Task[Any]]") -> list[bool]:
    """Return which tasks were admitted."""
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, int | Overloaded) for each in ended), ended
    return [isinstance(each, int) for each in ended]
