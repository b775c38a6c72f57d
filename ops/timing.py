"""The share of the database and of hashes in the time of a request."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class RequestTiming:
    """Seconds that a request waited for the database, and that its hashes took."""

    database: float = 0.0
    hashing: float = 0.0

    def activate(self) -> None:
        """Count the time of this task, and of those that it starts, from now on."""
        _CURRENT.set(self)


def current_timing() -> RequestTiming | None:
    """Return the timing of the current request, or None."""
    return _CURRENT.get()


# A context variable, since the code that waits for the database does not know the request.
_CURRENT: ContextVar[RequestTiming | None] = ContextVar("timing", default=None)
