"""The counts and the faults of a run."""

import time
from collections import Counter

MOST_FAULTS_SHOWN = 20


class Tally:
    """What is printed at the end."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.statuses: Counter[tuple[str, str]] = Counter()
        self.unknown: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.faults: list[str] = []

    @property
    def requests(self) -> int:
        return self.statuses.total()

    def restart_clock(self) -> None:
        """Let the times of faults begin now."""
        self.began = time.monotonic()

    def count(self, kind: str, outcome: str, seconds: float) -> None:
        """Count a request by what it was and how it ended."""
        self.statuses[kind, outcome] += 1
        self.slowest[kind] = max(self.slowest.get(kind, 0.0), seconds)

    def fault(self, text: str) -> None:
        """Note what must not be; the first ones are told at once."""
        at = time.monotonic() - self.began
        self.faults.append(f"{at:7.2f} s: {text}")
        if len(self.faults) <= MOST_FAULTS_SHOWN:
            print(f"fault at {self.faults[-1]}", flush=True)

    def table(self) -> str:
        """Return the counts, a line for each kind of request."""
        lines = [f"{'request':<28}{'slowest':>9}  outcomes"]
        for kind in sorted({kind for kind, _ in self.statuses}):
            counts = ", ".join(
                f"{outcome}: {number:,}"
                for (other, outcome), number in sorted(self.statuses.items())
                if other == kind
            )
            lines.append(f"{kind:<28}{self.slowest[kind]:>7.2f} s  {counts}")
        return "\n".join(lines)
