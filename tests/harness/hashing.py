"""Password hashers for tests, with cheap hashes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from rules import imported_hashes
from rules.hash_queue import HashQueue
from rules.password_scheme import PasswordScheme
from rules.password_verifier import ReadImported
from rules.passwords import PasswordHasher

COST = 4


def new_hasher(
    *,
    cost: int = COST,
    workers: int = 1,
    max_wait_seconds: float = 5,
    peppers: Sequence[str] = (),
    read_imported: ReadImported = imported_hashes.read,
    timer: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> PasswordHasher:
    """Return a hasher, to be closed by the caller."""
    scheme = PasswordScheme(cost=cost, peppers=peppers)
    queue = HashQueue(
        workers=workers,
        max_wait_seconds=max_wait_seconds,
        seconds_each=scheme.estimate_seconds(),
    )
    return PasswordHasher(scheme, queue, read_imported, timer=timer, sleep=sleep)
