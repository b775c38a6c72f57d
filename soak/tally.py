"""The counts and the faults of a run."""

import time
from collections import Counter
from collections.abc import Iterator

MAX_SHOWN_OF_KIND = 5


class Tally:
    """Counts the outcomes of requests, and collects faults."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.statuses: Counter[tuple[str, str]] = Counter()
        self.unknown: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.relay_outages = 0
        self.late_messages = 0
        self.deferred_messages = 0
        self._faults: dict[str, list[str]] = {}

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

    @property
    def faults(self) -> int:
        return sum(map(len, self._faults.values()))

    def fault(self, kind: str, detail: str = "") -> None:
        """Record a fault; the first ones of each kind are printed at once."""
        at = time.monotonic() - self.started
        of_kind = self._faults.setdefault(kind, [])
        of_kind.append(f"{at:7.2f} s: {kind}{detail and f' ({detail})'}")
        if len(of_kind) <= MAX_SHOWN_OF_KIND:
            print(f"fault at {of_kind[-1]}", flush=True)

    def shown_faults(self) -> Iterator[str]:
        """Yield the number of faults of each kind, and the first ones."""
        for kind, of_kind in self._faults.items():
            yield f"{kind}: {len(of_kind):,}"
            for fault in of_kind[:MAX_SHOWN_OF_KIND]:
                yield f"  {fault}"

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
