"""The choice of requests that are logged."""

from enum import StrEnum

# Load balancers and proxies send these all the time. A reader of the log that limits its rate, as
# journald does, would drop other lines because of them.
FREQUENT_ROUTES = frozenset({"/health/live", "/health/ready", "/api/verify"})


class LoggedRequests(StrEnum):
    ALL = "all"  # except successful ones of FREQUENT_ROUTES
    FAILED = "failed"
    NONE = "none"
