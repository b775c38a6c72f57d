"""When servers and Postgres were disturbed: what is allowed then, and at no other time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# How long after its end a disturbance may still be felt.
GRACE_SECONDS = 2.0


@dataclass(slots=True)
class Disturbance:
    """A restart: of one server, or of Postgres where there is no number."""

    what: str
    server: int | None
    began: float
    ended: float | None = None

    def touches(self, began: float, ended: float) -> bool:
        return ended >= self.began and (self.ended is None or began <= self.ended + GRACE_SECONDS)


class Calendar:
    """The disturbances of a run."""

    def __init__(self) -> None:
        self.disturbances: list[Disturbance] = []

    @contextmanager
    def disturbed(self, what: str, server: int | None = None) -> Iterator[None]:
        """Note when something is disturbed, before it begins and after it is over."""
        entry = Disturbance(what, server, time.monotonic())
        self.disturbances.append(entry)
        try:
            yield
        finally:
            entry.ended = time.monotonic()

    def permits_refusal(self, server: int, began: float, ended: float) -> bool:
        """Tell whether a request may have been answered 503."""
        return any(
            entry.touches(began, ended)
            for entry in self.disturbances
            if entry.server in {None, server}
        )

    def permits_silence(self, server: int, began: float, ended: float) -> bool:
        """Tell whether a request may have had no answer: only where its server went away."""
        return any(
            entry.touches(began, ended) for entry in self.disturbances if entry.server == server
        )

    def cause(self, server: int, began: float, ended: float) -> str:
        """Say which disturbance a lost answer comes from."""
        causes = [
            entry.what
            for entry in self.disturbances
            if entry.server in {None, server} and entry.touches(began, ended)
        ]
        return causes[-1] if causes else "no disturbance"

    def near(self, moment: float) -> str:
        """Say which disturbance was the last one before a moment."""
        before = [entry for entry in self.disturbances if entry.began <= moment]
        if not before:
            return "before any disturbance"
        last = before[-1]
        return f"{moment - last.began:.2f} s after {last.what} began"
