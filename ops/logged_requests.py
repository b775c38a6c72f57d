"""Which requests have a line in the log."""

from enum import StrEnum
from http import HTTPStatus

# Load balancers and proxies send these all the time. A reader of the log that limits its rate, as
# journald does, would drop other lines because of them.
FREQUENT_ROUTES = frozenset({"/health/live", "/health/ready", "/api/verify"})


class LoggedRequests(StrEnum):
    ALL = "all"  # without successful ones of FREQUENT_ROUTES
    FAILED = "failed"
    NONE = "none"

    def includes(self, route: str, status: int) -> bool:
        """Return whether a request has a line."""
        if status >= HTTPStatus.BAD_REQUEST:
            return self is not LoggedRequests.NONE
        return self is LoggedRequests.ALL and route not in FREQUENT_ROUTES
