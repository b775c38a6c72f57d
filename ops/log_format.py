"""How the log is written: a setting, which needs to know of no library."""

from enum import StrEnum
from typing import TextIO


class LogFormat(StrEnum):
    AUTO = "auto"  # text where a person reads along, in a terminal
    TEXT = "text"
    JSON = "json"

    def chosen_for(self, stream: TextIO) -> "LogFormat":
        """Return text or JSON."""
        if self is not LogFormat.AUTO:
            return self
        return LogFormat.TEXT if stream.isatty() else LogFormat.JSON
