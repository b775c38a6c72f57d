"""A connection that counts the outcomes of its requests."""

from collections import Counter

from tests.harness.http_connection import Connection, Response

OK = 200
RETRY_STATUSES = frozenset({429, 503})
FAULT_PAUSE_SECONDS = 0.5


class CountingConnection:
    """Counts responses by status, and requests without a response by the name of the error."""

    def __init__(self, port: int, outcomes: Counter[str]) -> None:
        self._connection = Connection(port)
        self._outcomes = outcomes

    async def request(self, request: bytes) -> Response | None:
        """Send a request; return its response, or None if there is none."""
        try:
            response = await self._connection.request(request)
        except OSError as error:
            self._outcomes[type(error).__name__] += 1
            return None
        suffix = ""
        if response.status in RETRY_STATUSES and response.retry_after is None:
            suffix = " without Retry-After"
        self._outcomes[f"{response.status}{suffix}"] += 1
        return response

    def close(self) -> None:
        self._connection.close()


def pause_after(response: Response | None) -> float:
    """Return how long a well-behaved client waits before its next request, in seconds."""
    if response is None:
        return FAULT_PAUSE_SECONDS
    if response.status == OK:
        return 0.0
    return FAULT_PAUSE_SECONDS if response.retry_after is None else response.retry_after
