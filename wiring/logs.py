"""The log of the server, on standard error."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic_core import to_json

from ops.log_writer import LogWriter
from ops.logs import open_log
from settings import Settings

# How long the server waits for the reader of its log before it exits.
LAST_LINES_SECONDS = 2.0


@contextmanager
def server_log(settings: Settings) -> Iterator[LogWriter]:
    """Open the log, and write the remaining lines at the end if they can be written in time."""
    log = open_log(sys.stderr, settings.logging.format)
    try:
        yield log
    finally:
        log.close(LAST_LINES_SECONDS)


def dumps(event: object, **_: object) -> str:
    """Return an event as JSON."""
    return to_json(event).decode()
