"""The format of the log, and of times in it."""

import time
from enum import StrEnum
from functools import lru_cache
from typing import TextIO


class LogFormat(StrEnum):
    AUTO = "auto"  # text on a terminal, JSON otherwise
    TEXT = "text"
    JSON = "json"

    def chosen_for(self, stream: TextIO) -> "LogFormat":
        """Return the format for a stream: text or JSON."""
        if self is not LogFormat.AUTO:
            return self
        return LogFormat.TEXT if stream.isatty() else LogFormat.JSON


def timestamp(seconds: float) -> str:
    """Return a time in UTC seconds in the format of RFC 3339, with milliseconds."""
    return f"{_second(int(seconds))}.{int(seconds * 1000) % 1000:03d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
