"""Attempts to connect to one host after another, within one time limit."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from db.errors import ConnectionRejected, ReadOnly, Unavailable, WrongPooler
from db.hosts import Host, resolve
from db.route import Route

Result = TypeVar("Result")

# The time for one of several hosts: a primary takes milliseconds.
_ANSWER_SECONDS = 1.0


async def try_hosts(
    route: Route, seconds: float, attempt: Callable[[Host], Awaitable[Result]]
) -> Result:
    """Return the result of the first attempt that succeeds; raises DatabaseError.

    Each host, and each address of its name, gets an equal share of the time that is left, and one
    of several gets at most a second, so that a silent one leaves time for the others.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    reasons: dict[Host, Unavailable] = {}
    pending = deque(route.in_order(route.hosts))
    while pending:
        host = pending.popleft()
        share = (deadline - clock()) / (len(pending) + 1)
        try:
            async with asyncio.timeout(_limit(share, is_alone=not pending and not reasons)):
                if host.is_resolved:
                    return await attempt(host)
                pending.extendleft(reversed(route.in_order(await resolve(host, route.names))))
        except TimeoutError:
            route.silent.add(host)
            reasons[host] = _silence(host)
        except WrongPooler:
            raise
        except Unavailable as error:
            reasons[host] = error
    raise _combined(reasons, route)


def _limit(share: float, *, is_alone: bool) -> float:
    return share if is_alone else min(share, _ANSWER_SECONDS)


def _silence(host: Host) -> Unavailable:
    if host.is_resolved:
        return Unavailable(f"{host}: no response in time")
    return Unavailable(f"the host name {host.name} was not resolved in time")


def _combined(reasons: Mapping[Host, Unavailable], route: Route) -> Unavailable:
    """Return one error with the reason of each host.

    ReadOnly ends every connection. A standby at another host is no reason for that while the
    primary may only be slow, or rejects new connections.
    """
    kinds: tuple[type[Unavailable], ...] = (ConnectionRejected, ReadOnly)
    if route.primary is not None and isinstance(reasons.get(route.primary), ReadOnly):
        kinds = (ReadOnly,)
    elif route.primary in route.silent:
        kinds = ()
    message = "; ".join(dict.fromkeys(map(str, reasons.values())))
    for kind in kinds:
        if any(isinstance(reason, kind) for reason in reasons.values()):
            return kind(message)
    return Unavailable(message)
