"""A warning that is logged rarely, however often its cause occurs."""

import logging
from collections.abc import Callable

from ops.logs import SERVER

_SECONDS = 60.0


class RareWarning:
    """A warning that is logged at most once a minute; ``clock`` returns monotonic seconds."""

    def __init__(self, message: str, clock: Callable[[], float]) -> None:
        self._message = message
        self._clock = clock
        self._logged_at = float("-inf")

    def log(self, *values: object, **fields: str) -> None:
        """Log the warning with these fields, unless it was logged in the last minute.

        The values replace the placeholders of the message.
        """
        now = self._clock()
        if now - self._logged_at >= _SECONDS:
            self._logged_at = now
            logging.getLogger(SERVER).warning(self._message, *values, extra=fields)
