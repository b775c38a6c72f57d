"""A limit on similar log lines: a flood of rejections gets a few lines, and a count."""

import asyncio
import logging
from collections import Counter

from ops.logs import SERVER

# Lines of one kind in a period. An office that starts its working day stays below.
MAX_LINES = 100
PERIOD_SECONDS = 60.0

# The fields that lines have in common, with their values.
_Kind = frozenset[tuple[str, str]]


class LineLimit:
    """Admits a number of log lines of each kind per period, and reports how many were omitted.

    A period begins with its first line. At its end, one line for each kind with omitted lines
    contains their number and the fields of the kind. The number of kinds must be limited.
    """

    def __init__(self, *, max_lines: int = MAX_LINES, seconds: float = PERIOD_SECONDS) -> None:
        self._max_lines = max_lines
        self._seconds = seconds
        self._lines: Counter[_Kind] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def admits(self, **fields: str) -> bool:
        """Count a line of the kind with these fields; return whether to write it."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self.end_period)
        kind = frozenset(fields.items())
        self._lines[kind] += 1
        return self._lines[kind] <= self._max_lines

    def end_period(self) -> None:
        """Report the omitted lines; the next line begins a new period."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, Counter()
        for kind, number in lines.items():
            if number > self._max_lines:
                fields = dict(sorted(kind))
                omitted = number - self._max_lines
                logging.getLogger(SERVER).warning(
                    "log lines omitted", extra={**fields, "omitted": omitted}
                )
