"""Attempts to connect to one host after another, within one time limit."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from db.errors import (
    COMBINED,
    ConnectionRejected,
    ReadOnly,
    TooManyWaiting,
    Unavailable,
    WrongPooler,
    combined,
)
from db.first_answer import Report
from db.hosts import Host, resolve
from db.route import Route

Result = TypeVar("Result")
# Connects to a host, and calls back at the first answer of the host.
Attempt = Callable[[Host, Report], Awaitable[Result]]

# The time for the first answer of one of several hosts: a primary takes milliseconds.
_ANSWER_SECONDS = 1.0


async def try_hosts(route: Route, seconds: float, attempt: Attempt[Result]) -> Result:
    """Return the result of the first attempt that succeeds; raises DatabaseError.

    Each host, and each IP address of its name, gets an equal share of the remaining time. If there
    are several, each has at most a second until its first answer: a silent one delays little, and a
    distant one has time for further round trips.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    reasons: dict[Host, Unavailable] = {}
    pending = deque(route.in_order(route.hosts))
    while pending:
        host = pending.popleft()
        share = (deadline - clock()) / (len(pending) + 1)
        first = min(share, _ANSWER_SECONDS) if pending or reasons else share
        try:
            async with asyncio.timeout(first) as limit:
                if host.is_resolved:
                    return await attempt(host, partial(_extend, limit, clock() + share))
                pending.extendleft(reversed(route.in_order(await resolve(host, route.names))))
        except TimeoutError:
            route.silent.add(host)
            reasons[host] = _silence(host)
        except WrongPooler:
            raise
        except Unavailable as error:
            reasons[host] = error
    raise _combined(reasons, route)


def _extend(limit: asyncio.Timeout, when: float) -> None:
    if not limit.expired():
        limit.reschedule(when)


def _silence(host: Host) -> Unavailable:
    if host.is_resolved:
        return Unavailable(f"{host}: no response in time")
    return Unavailable(f"the host name {host.name} was not resolved in time")


def _combined(reasons: Mapping[Host, Unavailable], route: Route) -> Unavailable:
    """Return one error with the reason of each host.

    ReadOnly would discard every connection. A standby at another host is not a reason to do so
    while the primary may only be slow, rejects new connections, or waits for its standby.
    """
    kinds: tuple[type[Unavailable], ...] = COMBINED
    if route.primary is not None and isinstance(reasons.get(route.primary), ReadOnly):
        kinds = (ReadOnly,)
    elif route.primary in route.silent:
        kinds = (TooManyWaiting, ConnectionRejected)
    return combined([*reasons.values()], kinds)
