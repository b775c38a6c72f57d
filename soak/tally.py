"""The counts and the faults of a run."""

import time
from collections import Counter

MAX_FAULTS_SHOWN = 20


class Tally:
    """Counts the outcomes of requests, and collects faults."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.statuses: Counter[tuple[str, str]] = Counter()
        self.unknown: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.faults: list[str] = []

    @property
    def requests(self) -> int:
        return self.statuses.total()

    def restart_clock(self) -> None:
        """Measure the times of faults from now on."""
        self.started = time.monotonic()

    def count(self, kind: str, outcome: str, seconds: float) -> None:
        """Count a request by its kind and outcome."""
        self.statuses[kind, outcome] += 1
        self.slowest[kind] = max(self.slowest.get(kind, 0.0), seconds)

    def fault(self, text: str) -> None:
        """Record a fault; the first ones are printed at once."""
        at = time.monotonic() - self.started
        self.faults.append(f"{at:7.2f} s: {text}")
        if len(self.faults) <= MAX_FAULTS_SHOWN:
            print(f"fault at {self.faults[-1]}", flush=True)

    def table(self) -> str:
        """Return the counts, with a line for each kind of request."""
        lines = [f"{'request':<28}{'slowest':>9}  outcomes"]
        for kind in sorted({kind for kind, _ in self.statuses}):
            counts = ", ".join(
                f"{outcome}: {number:,}"
                for (other, outcome), number in sorted(self.statuses.items())
                if other == kind
            )
            lines.append(f"{kind:<28}{self.slowest[kind]:>7.2f} s  {counts}")
        return "\n".join(lines)
