"""The disruptions of servers and Postgres, and the errors that they excuse."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# How long after its end a disruption may still cause errors.
GRACE_SECONDS = 2.0


@dataclass(slots=True)
class Disruption:
    """A restart of one server, or of Postgres if the server is None."""

    what: str
    server: int | None
    started: float
    ended: float | None = None

    def touches(self, started: float, ended: float) -> bool:
        return ended >= self.started and (
            self.ended is None or started <= self.ended + GRACE_SECONDS
        )


class DisruptionLog:
    """The disruptions of a run."""

    def __init__(self) -> None:
        self.entries: list[Disruption] = []

    @contextmanager
    def disruption(self, what: str, server: int | None = None) -> Iterator[None]:
        """Record a disruption that lasts as long as the block."""
        entry = Disruption(what, server, time.monotonic())
        self.entries.append(entry)
        try:
            yield
        finally:
            entry.ended = time.monotonic()

    def excuses_503(self, server: int, started: float, ended: float) -> bool:
        """Return whether the response to a request may be 503."""
        return any(
            entry.touches(started, ended)
            for entry in self.entries
            if entry.server in {None, server}
        )

    def excuses_no_response(self, server: int, started: float, ended: float) -> bool:
        """Return whether a request may have no response: only if its own server was restarted."""
        return any(
            entry.touches(started, ended) for entry in self.entries if entry.server == server
        )

    def cause(self, server: int, started: float, ended: float) -> str:
        """Return the disruption that caused an error."""
        causes = [
            entry.what
            for entry in self.entries
            if entry.server in {None, server} and entry.touches(started, ended)
        ]
        return causes[-1] if causes else "no disruption"

    def near(self, moment: float) -> str:
        """Return the last disruption before a time."""
        before = [entry for entry in self.entries if entry.started <= moment]
        if not before:
            return "before any disruption"
        last = before[-1]
        return f"{moment - last.started:.2f} s after the start of {last.what}"
