"""The log line of each request, as text or JSON."""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple, Protocol

from ops.line_limit import LineLimit
from ops.log_format import LogFormat, timestamp
from ops.log_writer import LogWriter
from ops.logged_requests import FREQUENT_ROUTES, LoggedRequests
from ops.trace_context import TraceParent

# How long lines are gathered: a crash can lose the lines of this time.
_GATHER_SECONDS = 0.02
# The caller's IP address is logged only for these statuses, which reject credentials.
REJECTIONS = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
)
# The statuses of a flood, whose lines are limited: a rejection is as cheap as its line.
_FLOOD_REJECTIONS = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_FIRST_ERROR = int(HTTPStatus.BAD_REQUEST)
# Optional fields, and their names in text.
_OPTIONAL = (
    ("problem", "problem"),
    ("client_request_id", "client"),
    ("ip", "ip"),
    ("trace_id", "trace"),
)
# Called like json.dumps.
Serializer = Callable[..., str]


class RequestRecord(NamedTuple):
    """The fields of one request: a tuple, since a frozen dataclass takes twice as long to create.

    ``problem`` is the type of the error response, and ``ip`` is set only if credentials were
    rejected.
    """

    method: str
    route: str
    status: int
    milliseconds: float
    database_milliseconds: float
    hashing_milliseconds: float
    request_id: str
    client_request_id: str | None
    user_id: str | None
    problem: str | None
    ip: str | None
    trace: TraceParent | None


class RequestEvents(Protocol):
    """Receives a record of each request after its response."""

    def write(self, record: RequestRecord) -> None: ...


class RequestLog:
    """Writes a line for each request of ``requests``, the lines of a few milliseconds together.

    The lines do not pass through the logging module, which would take longer. ``dumps`` is a
    serializer that is faster than that of the standard library. ``limit`` applies to the lines of
    rejections in a flood.
    """

    def __init__(
        self,
        writer: LogWriter,
        clock: Callable[[], float],
        dumps: Serializer,
        requests: LoggedRequests = LoggedRequests.ALL,
        limit: LineLimit | None = None,
    ) -> None:
        self._writer = writer
        self._limit = limit
        # Compared once: each comparison of an enumeration takes a microsecond.
        self._has_successes = requests is LoggedRequests.ALL
        self._has_failures = requests is not LoggedRequests.NONE
        self._clock = clock
        self._records: list[tuple[float, RequestRecord]] = []
        self._render: Serializer = dumps if writer.format is LogFormat.JSON else _text

    def write(self, record: RequestRecord) -> None:
        """Write the line of a request within milliseconds, if it has one."""
        if record.status >= _FIRST_ERROR:
            if not self._has_failures or not self._is_admitted(record):
                return
        elif not self._has_successes or record.route in FREQUENT_ROUTES:
            return
        if not self._records:
            asyncio.get_running_loop().call_later(_GATHER_SECONDS, self.flush)
        self._records.append((self._clock(), record))

    def _is_admitted(self, record: RequestRecord) -> bool:
        if self._limit is None or record.status not in _FLOOD_REJECTIONS:
            return True
        return self._limit.admits(
            lines="request",
            route=record.route,
            status=str(int(record.status)),
            problem=record.problem or "-",
        )

    def flush(self) -> None:
        """Write all pending lines now."""
        records, self._records = self._records, []
        if records:
            render = self._render
            lines = [render(_event(ended, record)) + "\n" for ended, record in records]
            self._writer.write("".join(lines))


def _event(ended: float, record: RequestRecord) -> Mapping[str, object]:
    """Return the fields of a line."""
    trace = record.trace
    event: dict[str, object] = {
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "milliseconds": round(record.milliseconds, 2),
        "database_milliseconds": round(record.database_milliseconds, 2),
        "hashing_milliseconds": round(record.hashing_milliseconds, 2),
        "request_id": record.request_id,
        "user_id": record.user_id,
    }
    if record.problem is not None:
        event["problem"] = record.problem
    if record.client_request_id is not None:
        event["client_request_id"] = record.client_request_id
    if record.ip is not None:
        event["ip"] = record.ip
    if trace is not None:
        event["trace_id"], event["parent_id"] = trace.trace_id, trace.parent_id
    event["time"] = timestamp(ended)
    event["event"], event["level"] = "request", "info"
    return event


def _text(event: Mapping[str, object]) -> str:
    optional = "".join(f" {label}={event[name]}" for name, label in _OPTIONAL if name in event)
    return (
        f"{event['time']} INFO {event['method']} {event['route']} {event['status']}"
        f" {event['milliseconds']:.1f}ms database={event['database_milliseconds']:.1f}ms"
        f" hashing={event['hashing_milliseconds']:.1f}ms request={event['request_id']}"
        f" user={event['user_id'] or '-'}{optional}"
    )
