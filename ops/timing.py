"""What the time of one request went into: the database, and hashes."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class RequestTiming:
    """Seconds that a request waited for the database, and that its hashes took to compute."""

    database: float = 0.0
    hashing: float = 0.0

    def activate(self) -> None:
        """Take what is spent from now on, in this task and those that it starts."""
        _CURRENT.set(self)


def current_timing() -> RequestTiming | None:
    """Return what is spent by the request that runs, where there is one."""
    return _CURRENT.get()


# A variable of the context: what waits for the database is far below what knows the request.
_CURRENT: ContextVar[RequestTiming | None] = ContextVar("spent", default=None)
